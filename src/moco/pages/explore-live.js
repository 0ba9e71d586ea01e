// Where the page of `moco explore` asks: the server that opened it.
async function post(address, body) {
  const given = await fetch(address, { method: "POST", body });
  if (!given.ok) throw new Error(await given.text());
  return given;
}

export const arrow = async (type, sql) => (await post("query", JSON.stringify({ type, sql }))).arrayBuffer();

export const closest = async (how, what) => (await post(`search/${how}`, what)).json();
