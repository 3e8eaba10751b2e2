// Stops Azurite, with its own orderly shutdown, when the process that started it is gone.
process.stdin.on("end", () => process.emit("SIGTERM")).resume();
