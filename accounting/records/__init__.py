"""From a pod's page in the ledger to its APEL records, and how they are written."""
