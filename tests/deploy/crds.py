"""JSON Schemas of the custom resources, of the fields that deploy/k8s uses and no others: a misspelt field fails.

Written from the operators' documentation (CloudNativePG 1.27, its Barman Cloud plugin 0.6, RabbitMQ Cluster Operator
2.16, KEDA 2.17). Types and names only: what an operator accepts beyond these is not repeated here.
"""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 1}
QUANTITY: Schema = {"type": ["string", "integer"], "pattern": r"^[0-9.]+(m|Ki|Mi|Gi|Ti)?$"}
STRINGS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}


def some(properties: Schema, *required: str) -> Schema:
    """An object with these properties and no others."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def many(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1}


NAMED = some({"name": TEXT}, "name")
KEY = some({"name": TEXT, "key": TEXT}, "name", "key")
RESOURCES = some(
    {kind: some({"cpu": QUANTITY, "memory": QUANTITY}, "cpu", "memory") for kind in ("requests", "limits")}, "requests", "limits"
)

CLUSTER = some(
    {
        "instances": COUNT,
        "imageCatalogRef": some(
            {
                "apiGroup": {"const": "postgresql.cnpg.io"},
                "kind": {"enum": ["ImageCatalog", "ClusterImageCatalog"]},
                "name": TEXT,
                "major": {"type": "integer", "minimum": 15, "maximum": 18},
            },
            "apiGroup", "kind", "name", "major",
        ),
        "postgresql": some(
            {
                "synchronous": some(
                    {
                        "method": {"enum": ["any", "first"]},
                        "number": COUNT,
                        "dataDurability": {"enum": ["required", "preferred"]},
                    },
                    "method", "number",
                ),
                "parameters": STRINGS,
            }
        ),
        "managed": some(
            {
                "roles": many(
                    some(
                        {
                            "name": TEXT,
                            "ensure": {"enum": ["present", "absent"]},
                            "login": FLAG,
                            "superuser": FLAG,
                            "createdb": FLAG,
                            "createrole": FLAG,
                            "bypassrls": FLAG,
                            "passwordSecret": NAMED,
                        },
                        "name",
                    )
                )
            }
        ),
        "enableSuperuserAccess": FLAG,
        "primaryUpdateStrategy": {"enum": ["unsupervised", "supervised"]},
        "affinity": some(
            {
                "enablePodAntiAffinity": FLAG,
                "podAntiAffinityType": {"enum": ["preferred", "required"]},
                "topologyKey": TEXT,
            }
        ),
        "resources": RESOURCES,
        "storage": some({"size": QUANTITY}, "size"),
        "walStorage": some({"size": QUANTITY}, "size"),
        "plugins": many(some({"name": TEXT, "isWALArchiver": FLAG, "parameters": STRINGS}, "name")),
    },
    "instances", "storage",
)  # fmt: skip

OBJECT_STORE = some(
    {
        "retentionPolicy": {"type": "string", "pattern": "^[1-9][0-9]*[dwm]$"},
        "configuration": some(
            {
                "destinationPath": {"type": "string", "pattern": "^s3://"},
                "endpointURL": {"type": "string", "pattern": "^https://"},
                "s3Credentials": some({"accessKeyId": KEY, "secretAccessKey": KEY}, "accessKeyId", "secretAccessKey"),
                "wal": some({"compression": {"enum": ["bzip2", "gzip", "lz4", "snappy", "xz", "zstd"]}}),
                "data": some({"compression": {"enum": ["bzip2", "gzip", "snappy"]}}),
            },
            "destinationPath",
        ),
    },
    "configuration",
)

SCHEDULED_BACKUP = some(
    {
        # Six fields: seconds first.
        "schedule": {"type": "string", "pattern": r"^(\S+ ){5}\S+$"},
        "backupOwnerReference": {"enum": ["none", "self", "cluster"]},
        "cluster": NAMED,
        "method": {"enum": ["barmanObjectStore", "volumeSnapshot", "plugin"]},
        "pluginConfiguration": NAMED,
    },
    "schedule", "cluster",
)  # fmt: skip

# Overrides are merged into the StatefulSet that the operator makes; its own schema is the core's.
RABBITMQ = some(
    {
        "replicas": {"enum": [1, 3, 5, 7]},
        "image": TEXT,
        "persistence": some({"storage": QUANTITY, "storageClassName": TEXT}),
        "resources": RESOURCES,
        "terminationGracePeriodSeconds": COUNT,
        "rabbitmq": some({"additionalConfig": TEXT, "additionalPlugins": many(TEXT)}),
        "override": some({"statefulSet": some({"spec": {"type": "object"}}, "spec")}),
    }
)

SCALED_OBJECT = some(
    {
        "scaleTargetRef": NAMED,
        "minReplicaCount": COUNT,
        "maxReplicaCount": COUNT,
        "cooldownPeriod": COUNT,
        "triggers": many(
            some(
                {
                    "type": {"enum": ["rabbitmq", "cpu"]},
                    "metricType": {"enum": ["AverageValue", "Value", "Utilization"]},
                    "metadata": STRINGS,
                    "authenticationRef": NAMED,
                },
                "type", "metadata",
            )
        ),
    },
    "scaleTargetRef", "triggers",
)  # fmt: skip

TRIGGER_AUTHENTICATION = some(
    {"secretTargetRef": many(some({"parameter": TEXT, "name": TEXT, "key": TEXT}, "parameter", "name", "key"))}, "secretTargetRef"
)

SPECS: dict[tuple[str, str], Schema] = {
    ("postgresql.cnpg.io/v1", "Cluster"): CLUSTER,
    ("postgresql.cnpg.io/v1", "ScheduledBackup"): SCHEDULED_BACKUP,
    ("barmancloud.cnpg.io/v1", "ObjectStore"): OBJECT_STORE,
    ("rabbitmq.com/v1beta1", "RabbitmqCluster"): RABBITMQ,
    ("keda.sh/v1alpha1", "ScaledObject"): SCALED_OBJECT,
    ("keda.sh/v1alpha1", "TriggerAuthentication"): TRIGGER_AUTHENTICATION,
}
