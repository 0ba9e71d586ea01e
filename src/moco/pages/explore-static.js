// Where an exported page asks: DuckDB in the browser, spoken to as its own package does, on the table beside the page.
const worker = new Worker("duckdb.worker.js");
const waiting = new Map();
let number = 0;

worker.onmessage = ({ data }) => {
  const one = waiting.get(data.requestId);
  if (!one || data.type === "INSTANTIATE_PROGRESS" || data.type === "LOG") return;
  waiting.delete(data.requestId);
  if (data.type === "ERROR") one.reject(new Error(data.data.message));
  else one.resolve(data.data);
};

function tell(type, data, moved = []) {
  return new Promise((resolve, reject) => {
    const messageId = ++number;
    waiting.set(messageId, { resolve, reject });
    worker.postMessage({ messageId, type, data }, moved);
  });
}

const connected = (async () => {
  const given = await fetch("images.arrow");
  if (!given.ok) throw new Error("images.arrow is missing beside this page");
  const table = new Uint8Array(await given.arrayBuffer());
  await tell("INSTANTIATE", [new URL("duckdb.wasm", location.href).href, null]);
  await tell("OPEN", { filesystem: { forceFullHTTPReads: true } });
  const connection = await tell("CONNECT", null);
  const beside = new URL("duckdb-wasm", location.href).href; // what it loads on demand: no request leaves this place
  await tell("RUN_QUERY", [connection, `SET custom_extension_repository = '${beside}'`]);
  await tell("INSERT_ARROW_FROM_IPC_STREAM", [connection, table, { name: "images", create: true }], [table.buffer]);
  return connection;
})();

export async function arrow(type, sql) {
  const found = await tell("RUN_QUERY", [await connected, sql]);
  return found.byteOffset === 0 && found.byteLength === found.buffer.byteLength ? found.buffer : found.slice().buffer;
}

export async function closest() {
  throw new Error("an exported page has no encoder; moco explore on the run finds images like yours");
}
