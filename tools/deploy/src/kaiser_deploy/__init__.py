"""Kaiser in containers: secrets, certificates, rights, pinned images and `make up`; and the generated documents."""
