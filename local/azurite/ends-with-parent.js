// Loaded before Azurite (node --require). Its standard input is a pipe held by whoever started it; the end of that pipe
// means "end": wanted, or because the starter is gone, however it died. Azurite then saves its data and ends.
function end() {
  process.emit("SIGTERM");
  setTimeout(() => process.exit(1), 5000).unref();
}
process.stdin.on("error", end).on("end", end).resume();
