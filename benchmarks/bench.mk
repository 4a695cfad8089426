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

.PHONY: bench-event-log
bench-event-log: $(VENV)/.installed ## what logging costs a request (wrk, TENANTRY_DATA)
	@$(BENCH).event_log $(BENCH_FLAGS)
