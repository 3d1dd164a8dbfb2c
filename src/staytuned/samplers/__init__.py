"""Who proposes: each sampler is a function of the history and lives in the file of its name."""
