# One command per benchmark. They need the machine to themselves: nothing else may run meanwhile.
# `make bench-serving BENCH_FLAGS=--quick` tries one out and keeps nothing.
BENCH_FLAGS ?=
BENCH = $(BIN)/python -m benchmarks

.PHONY: bench
bench: bench-engine-mixed bench-engine-texts bench-serving bench-bank bench-event-log bench-fairness bench-shadows ## every benchmark, 35 minutes

.PHONY: bench-engine-mixed
bench-engine-mixed: $(VENV)/.installed ## mixed passes against no LoRA, peft, LoraAdapter
	@$(BENCH).engine_mixed $(BENCH_FLAGS)

.PHONY: bench-engine-texts
bench-engine-texts: $(VENV)/.installed ## real texts, packed and padded (TENANTRY_DATA)
	@$(BENCH).engine_texts $(BENCH_FLAGS)

.PHONY: bench-serving
bench-serving: $(VENV)/.installed ## HTTP against the engine, peft and infinity (wrk, TENANTRY_DATA)
	@$(BENCH).serving $(BENCH_FLAGS)

.PHONY: bench-bank
bench-bank: $(VENV)/.installed ## slot writes, cold loads, starts, memory per adapter
	@$(BENCH).bank $(BENCH_FLAGS)

.PHONY: bench-fairness
bench-fairness: $(VENV)/.installed ## a tenant that floods, and what others feel (TENANTRY_DATA)
	@$(BENCH).fairness $(BENCH_FLAGS)

.PHONY: bench-shadows
bench-shadows: $(VENV)/.installed ## what a shadow costs (TENANTRY_DATA)
	@$(BENCH).shadows $(BENCH_FLAGS)

.PHONY: bench-canaries
bench-canaries: $(VENV)/.installed ## false and missed rollbacks of canaries, simulated
	@$(BENCH).canaries $(BENCH_FLAGS)

.PHONY: bench-event-log
bench-event-log: $(VENV)/.installed ## what logging costs a request (wrk, TENANTRY_DATA)
	@$(BENCH).event_log $(BENCH_FLAGS)

.PHONY: bench-tracing
bench-tracing: $(VENV)/.installed ## what traces cost a request (wrk, TENANTRY_DATA)
	@$(BENCH).tracing $(BENCH_FLAGS)

.PHONY: bench-images
bench-images: $(VENV)/.installed ## images: quality, mixed passes, drift (TENANTRY_DATA)
	@$(BENCH).images $(BENCH_FLAGS)

.PHONY: bench-images-preprocess
bench-images-preprocess: $(VENV)/.installed ## decoding and preprocessing against transformers' processors
	@$(BENCH).images_preprocess $(BENCH_FLAGS)

.PHONY: bench-precision
bench-precision: $(VENV)/.installed ## every precision and what else was tried (TENANTRY_DATA, nncf)
	@$(BENCH).precision $(BENCH_FLAGS)

.PHONY: bench-distill
bench-distill: $(VENV)/.installed ## a student of half the layers: accuracy, calibration, speed (TENANTRY_DATA)
	@$(BENCH).distill $(BENCH_FLAGS)

# ---- monitoring: claims that a run could refute; `benchmarks/monitoring/README.md` -----------------

MONITORING := bench-monitoring-false-positives bench-monitoring-power bench-monitoring-run-length bench-monitoring-coverage bench-monitoring-estimated-accuracy bench-monitoring-fleet bench-monitoring-everyone bench-monitoring-cost

.PHONY: bench-monitoring
bench-monitoring: $(MONITORING) ## every claim of the sidecar, 35 minutes (TENANTRY_DATA)

.PHONY: bench-monitoring-false-positives
bench-monitoring-false-positives: $(VENV)/.installed ## how often the window test is wrong (TENANTRY_DATA)
	@$(BENCH).monitoring.false_positives $(BENCH_FLAGS)

.PHONY: bench-monitoring-power
bench-monitoring-power: $(VENV)/.installed ## how often it finds drift (TENANTRY_DATA)
	@$(BENCH).monitoring.power $(BENCH_FLAGS)

.PHONY: bench-monitoring-run-length
bench-monitoring-run-length: $(VENV)/.installed ## the watch: run length and delay (TENANTRY_DATA)
	@$(BENCH).monitoring.run_length $(BENCH_FLAGS)

.PHONY: bench-monitoring-coverage
bench-monitoring-coverage: $(VENV)/.installed ## label figures and their intervals (TENANTRY_DATA)
	@$(BENCH).monitoring.coverage $(BENCH_FLAGS)

.PHONY: bench-monitoring-estimated-accuracy
bench-monitoring-estimated-accuracy: $(VENV)/.installed ## accuracy without labels (TENANTRY_DATA)
	@$(BENCH).monitoring.estimated_accuracy $(BENCH_FLAGS)

.PHONY: bench-monitoring-fleet
bench-monitoring-fleet: $(VENV)/.installed ## a thousand tenants, four weeks (TENANTRY_DATA)
	@$(BENCH).monitoring.fleet $(BENCH_FLAGS)

.PHONY: bench-monitoring-everyone
bench-monitoring-everyone: $(VENV)/.installed ## did everyone move, or a few tenants (TENANTRY_DATA)
	@$(BENCH).monitoring.everyone $(BENCH_FLAGS)

.PHONY: bench-monitoring-cost
bench-monitoring-cost: $(VENV)/.installed ## what watching costs (TENANTRY_DATA)
	@$(BENCH).monitoring.cost $(BENCH_FLAGS)
