"""The keys that the settings give."""

from services.credits.domain.sealing_errors import BadSealKey
from services.credits.domain.signing import SealKey, SealKeys
from services.credits.settings import Settings


def read_keys(settings: Settings) -> SealKeys | None:
    """None when there is no key. Raises BadSealKey for one that cannot be used: better no start than no seal."""
    jwk = settings.seal_private_key.get_secret_value() if settings.seal_private_key else None
    if settings.seal_private_key_file is not None:
        try:
            jwk = settings.seal_private_key_file.read_text()
        except OSError as error:
            raise BadSealKey(f"METIS_SEAL_PRIVATE_KEY_FILE cannot be read: {error.strerror}.") from error
    if not jwk:
        return None
    earlier = tuple(SealKey.of_jwk(key.get_secret_value()) for key in settings.seal_earlier_private_keys)
    return SealKeys(SealKey.of_jwk(jwk), earlier)
