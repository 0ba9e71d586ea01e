// The page of `moco explore`: a map, what is found on it, and below it the table and the charts of embedding-atlas.
import { arrow, closest } from "./backend.js";
import { Map2D } from "./explore-map.js";
import { make } from "./parts.js";

const facts = JSON.parse(document.getElementById("facts").textContent);
const of = (id) => document.getElementById(id);
const quoted = (text) => "'" + text.replaceAll("'", "''") + "'";
const MOST = 240; // tiles that are shown of a list
let tools = {}, ready;
const provided = new Promise((resolve) => { ready = resolve; });

// ---- small parts

function say(text, bad = false) {
  of("said").textContent = text;
  of("said").classList.toggle("bad", bad);
}

const small = (row) => `thumb/${row}.jpg`;

function tiles(rows, words) {
  return make("div", { class: "tiles" }, ...rows.map((one) => make("button", {
    type: "button", title: one.file, "aria-label": one.file, onclick: () => pick(one.row, true),
  }, make("img", { src: small(one.row), alt: "", loading: "lazy" }), words(one))));
}

function save(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

// A name a line; names with line breaks need quotes, and so a table. Both are lists that --data takes.
function saveList(files) {
  if (!files.some((name) => /[\r\n]/.test(name))) return save("chosen.txt", files.join("\n") + "\n");
  return save("chosen.csv", ["path", ...files.map((name) => `"${name.replaceAll('"', '""')}"`)].join("\n") + "\n");
}

// ---- questions to the table, by way of the widget, which can read the answers

async function ask(sql) {
  await provided;
  const { content } = await tools.data_query.execute({ query: sql });
  return JSON.parse(content[0].text);
}

async function inOrder(rows) {
  if (!rows.length) return [];
  const named = await ask(`SELECT __row AS row, file FROM ${facts.table} WHERE __row IN (${rows.join(",")})`);
  const found = new Map(named.map((one) => [one.row, one]));
  return rows.map((row) => found.get(row)).filter(Boolean);
}

// ---- the map

const given = await fetch("points.bin");
if (!given.ok) throw new Error("points.bin is missing beside this page");
const map = new Map2D(of("map"), await given.arrayBuffer(), facts.images, {
  pick: (row) => pick(row),
  lasso: (rows) => (rows.length ? only(rows, "lasso") : all()),
  hover: (row, x, y) => {
    const tile = of("hover");
    tile.hidden = row < 0;
    if (row < 0) return;
    if (tile.dataset.row !== String(row)) {
      tile.src = small(row);
      tile.dataset.row = row;
    }
    tile.style.left = `${Math.min(x + 14, map.width - 140)}px`;
    tile.style.top = `${Math.min(y + 14, map.height - 140)}px`;
  },
});

function paint(name) {
  const legend = map.colour(facts.colours.find((one) => one.name === name));
  const words = make("li", { class: "meaning soft" }, facts.meanings[name]);
  of("legend").replaceChildren(words, ...legend.map(([colour, words, count]) => make("li", { title: words },
    make("i", { style: `background: ${colour}` }), make("span", {}, words),
    ...(count === undefined ? [] : [make("span", { class: "soft" }, count.toLocaleString("en"))]))));
}

of("colour").append(...facts.colours.map(({ name }) => make("option", { value: name, selected: name === facts.colour }, name)));
of("colour").addEventListener("change", (event) => paint(event.target.value));
paint(facts.colour);
of("whole").addEventListener("click", () => map.whole());
of("lasso").addEventListener("click", (event) => {
  map.lassoing = !map.lassoing;
  event.target.setAttribute("aria-pressed", map.lassoing);
});

// ---- one image and its neighbours

async function pick(row, move = false) {
  if (map.picked === row) return;
  Object.assign(map, { picked: row, links: [] });
  if (move) map.look(row);
  map.draw();
  const whole = make("img", { class: "whole", src: facts.whole ? `image/${row}.jpg` : small(row), alt: "the image clicked" });
  of("picked").replaceChildren(whole);
  of("picked").hidden = false;
  const shown = facts.columns.map((name) => `"${name}"`).join(", ");
  const [one] = await ask(`SELECT ${shown}, __neighbours AS near FROM ${facts.table} WHERE __row = ${row}`);
  const ids = Object.values(one.near.ids), distances = Object.values(one.near.distances);
  const near = await inOrder(ids), at = new Map(ids.map((id, i) => [id, distances[i]]));
  if (map.picked !== row) return;
  map.links = ids;
  map.draw();
  const told = facts.columns.filter((name) => name !== "file" && one[name] !== null);
  of("picked").replaceChildren(
    make("h2", {}, one.file), whole,
    make("dl", {}, ...told.flatMap((name) => [
      make("dt", { title: facts.meanings[name] }, name), make("dd", {}, typeof one[name] === "number" ? one[name].toFixed(4) : String(one[name]))])),
    make("h2", {}, `Its ${near.length} nearest by the encoder, with their cosines`),
    bar([row, ...ids], "neighbours"),
    tiles(near, (n) => (1 - at.get(n.row)).toFixed(3)));
}

// ---- some of the images: on the map, in the list, in the table and charts alike

const SHOWN = "shown";

async function only(rows, name) {
  const predicate = `__row IN (${rows.join(",")})`;
  await choose(predicate, rows);
  await provided;
  await tools.chart_set_spec.execute({
    id: SHOWN, spec: { type: "predicates", title: "Shown on the map", items: [{ name, predicate }] } });
  await tools.chart_set_state.execute({ id: SHOWN, state: { selection: [predicate] } });
}

async function all() {
  await choose(null);
  await provided;
  const charts = JSON.parse((await tools.chart_list.execute({})).content[0].text);
  for (const id of Object.keys(charts)) await tools.chart_clear_state.execute({ id });
}

function bar(rows, name) {
  return make("div", { class: "bar" },
    make("button", { type: "button", onclick: () => only(rows, name) }, "Only these"),
    make("button", { type: "button", onclick: all }, "All"));
}

// ---- what a lasso, a rectangle or a chart has chosen: a list of files

async function choose(predicate, known) {
  const place = of("chosen");
  place.hidden = predicate === null;
  if (predicate === null) {
    map.mask = null;
    map.draw();
    return;
  }
  const where = `FROM ${facts.table} WHERE ${predicate}`;
  const rows = known ?? (await ask(`SELECT __row AS row ${where}`)).map((one) => one.row);
  map.mask = new Uint8Array(facts.images);
  for (const row of rows) map.mask[row] = 1;
  map.draw();
  const first = await ask(`SELECT __row AS row, file ${where} ORDER BY file LIMIT ${MOST}`);
  const files = async () => (await ask(`SELECT file ${where} ORDER BY file`)).map((one) => one.file);
  const n = rows.length;
  place.replaceChildren(
    make("h2", {}, `${n.toLocaleString("en")} ${n === 1 ? "image" : "images"} chosen`),
    make("div", { class: "bar" },
      make("button", { type: "button", id: "save", onclick: async () => saveList(await files()) }, "Save the list"),
      make("button", { type: "button", onclick: async () => {
        await navigator.clipboard.writeText((await files()).join("\n") + "\n");
        say("The list is in the clipboard.");
      } }, "Copy it"),
      make("button", { type: "button", onclick: all }, "Let go")),
    tiles(first, () => ""),
    ...(n > MOST ? [make("p", { class: "soft small" }, `The first ${MOST} are shown; the list has them all.`)] : []));
}

// ---- search

async function show(found, title, words) {
  const rows = await inOrder(found.map((one) => one.row));
  const cosine = new Map(found.map((one) => [one.row, one.cosine]));
  of("found").replaceChildren(
    make("h2", {}, title), bar(found.map((one) => one.row), title),
    tiles(rows, (one) => words(cosine.get(one.row))));
  of("found").hidden = false;
  of("found").scrollIntoView({ block: "nearest" });
}

async function byImage(file) {
  say(`Looking for images like ${file.name || "it"}…`);
  try {
    const found = await closest("image", await file.arrayBuffer());
    await show(found, `Like ${file.name || "your image"}`, (cosine) => cosine.toFixed(3));
    say(`The ${found.length} most similar of ${facts.images.toLocaleString("en")}, with their cosines.`);
  } catch (error) {
    say(String(error.message ?? error), true);
  }
}

const input = document.querySelector("label.file input");
if (input) {
  const place = input.parentElement;
  input.addEventListener("change", () => input.files[0] && byImage(input.files[0]));
  for (const name of ["dragover", "dragleave", "drop"]) {
    addEventListener(name, (event) => {
      event.preventDefault();
      place.classList.toggle("over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files[0]) byImage(event.dataTransfer.files[0]);
    });
  }
  addEventListener("paste", (event) => event.clipboardData.files[0] && byImage(event.clipboardData.files[0]));
}

of("by-text")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const words = event.target.querySelector("input").value;
  say("Reading…");
  try {
    const found = await closest("text", words);
    await show(found, `Images of ${words}`, (cosine) => cosine.toFixed(3));
    say(`The ${found.length} that fit best of ${facts.images.toLocaleString("en")}, with their cosines.`);
  } catch (error) {
    say(String(error.message ?? error), true);
  }
});

of("by-name").addEventListener("submit", async (event) => {
  event.preventDefault();
  const part = event.target.querySelector("input").value;
  const rows = await ask(
    `SELECT __row AS row FROM ${facts.table} WHERE contains(lower(file), lower(${quoted(part)})) ORDER BY file LIMIT ${MOST}`);
  if (rows.length) await show(rows, `Named like ${part}`, () => "");
  say(rows.length ? `${rows.length === MOST ? "The first " : ""}${rows.length} ${rows.length === 1 ? "file" : "files"} with this in the name.` : "No file has this in its name.");
});

// ---- the widget, which takes us for a notebook

const image = { renderer: "liquid-template", options: { template: '<img src="thumb/{{ value }}.jpg" width="96" alt="">' } };
const adapter = await navigator.gpu?.requestAdapter();
const withMap = Boolean(adapter?.features.has("shader-f16")); // what the map of embedding-atlas takes
const charts = {
  table: { type: "instances", title: "Images", columns: ["image", ...facts.columns] },
  ...Object.fromEntries(facts.counted.map((field) => [field, { type: "count-plot", title: field, data: { field } }])),
  ...Object.fromEntries(facts.measured.map((field) => [field, histogram(field)])),
  [SHOWN]: { type: "predicates", title: "Shown on the map" },
  clicked: { type: "content-viewer", title: "Number of the image clicked in the table", field: "image" },
};
const layouts = { 1: { type: "list", name: "Table and charts", chartIds: Object.keys(charts) } };
if (withMap) {
  charts.map = { type: "embedding", title: "Map", data: { x: "__x", y: "__y", category: facts.colour, neighbors: "__neighbours" } };
  layouts[2] = { type: "list", name: "Its own map", chartIds: ["map"] };
}

function histogram(field) {
  const bars = { mark: "bar", encoding: { x: { field }, y: { aggregate: "count" } } };
  return {
    title: field,
    layers: [{ ...bars, style: { fillColor: "$markColorFade" } }, { ...bars, filter: "$filter" }],
    selection: { brush: { encoding: "x" } },
  };
}

const properties = {
  data: { table: facts.table, id: "__row", projection: { x: "__x", y: "__y" }, neighbors: "__neighbours", text: "file" },
  embeddingViewLabels: [],
  initialState: {
    charts,
    layouts,
    layoutOrder: Object.keys(layouts),
    currentLayout: "1",
    columnStyles: { image: { ...image, display: "full" }, file: { display: "full" } },
  },
  modelContext: {
    provideContext: ({ tools: provides }) => {
      tools = Object.fromEntries(provides.map((one) => [one.name, one]));
      ready();
    },
  },
};

let answer = () => {};
const model = {
  get: (name) => (name === "_props" ? properties : null),
  set: (name, value) => { if (name === "_predicate") choose(value).catch((error) => say(String(error), true)); },
  save_changes: () => {},
  on: (name, act) => { if (name === "msg:custom") answer = act; },
  send: async ({ type, sql, uuid }) => {
    // the chart of what was clicked asks for the image of each row
    const clicked = /"image" AS "value".*__row"? = (\d+)/s.exec(sql);
    if (clicked) pick(Number(clicked[1]));
    try {
      const data = await arrow(type, sql);
      answer({ type, uuid }, type === "arrow" ? [new DataView(data)] : []);
    } catch (error) {
      answer({ uuid, error: String(error.message ?? error) }, []);
    }
  },
};
if (matchMedia("(pointer: coarse)").matches) say("Tap a point for its image. Drag to move, two fingers to zoom; Lasso, then drag around some.");
of("fold").addEventListener("click", (event) => {
  const closed = document.body.classList.toggle("closed");
  event.target.setAttribute("aria-expanded", !closed);
});
const { default: atlas } = await import("./atlas.js"); // last: the map is there meanwhile
atlas.render({ model, el: of("charts") });
