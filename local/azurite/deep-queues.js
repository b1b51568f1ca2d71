// Loaded before Azurite (node --require). Azure's queues do not grow slower with what is in them; Azurite's do:
// - each look and each removal first searches all messages for those that have expired. Here: once a second.
// - every minute it sweeps away the content of removed messages, and answers nobody meanwhile: for 5 to 15 seconds, when there
//   were thousands. Here: never, where it lives in memory anyway.
const path = require("node:path");

const load = (...names) => require(path.join(path.dirname(process.argv[1]), "queue", ...names));

function patch(owner, name, replacement) {
  if (owner[name] === undefined) throw new Error(`${__filename} does not fit this version of Azurite: it has no ${name}.`);
  owner[name] = replacement;
}

const { prototype } = load("persistence", "LokiQueueMetadataStore").default;
const clear = prototype.clearExpiredMessages;
const cleared = new Map();
patch(prototype, "clearExpiredMessages", async function (account, queue, context) {
  const name = `${account}/${queue}`;
  if (Date.now() - (cleared.get(name) ?? 0) < 1000) return;
  cleared.set(name, Date.now());
  await clear.call(this, account, queue, context);
});

if (process.argv.includes("--inMemoryPersistence")) {
  patch(load("utils", "constants"), "DEFAULT_GC_INTERVAL_MS", 2 ** 31 - 1); // the longest pause that setTimeout knows
}
