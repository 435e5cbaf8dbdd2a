"""polyscore in nerfstudio: `ns-train polyscore-sds` finds `nerfstudio_polyscore.method` by its entry point."""
