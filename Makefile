# Aliases, nothing more: `python3 -m dev --help` lists every task.
TASKS = demo test up seed bench check lint lock

.PHONY: $(TASKS)
$(TASKS):
	@python3 -m dev $@ $(ARGS)
