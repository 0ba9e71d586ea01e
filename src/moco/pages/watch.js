// The page of `moco watch`: asks every two seconds for the runs that have changed, and draws those again.
import { make } from "./parts.js";

const of = (id) => document.getElementById(id);
const body = document.querySelector("#runs tbody");
const MOST = 300; // rows that are drawn; a filter finds the others
const runs = new Map(), rows = new Map(), open = new Map();
const ORDER = ["running", "dead", "stopped", "finished"];
let version = 0, total = 0;

function left(seconds) {
  if (seconds === null) return "";
  if (seconds < 90) return ` · ${Math.round(seconds)} s left`;
  return seconds < 5400 ? ` · ${Math.round(seconds / 60)} min left` : ` · ${(seconds / 3600).toFixed(1)} h left`;
}

const number = (n) => n.toLocaleString("en");

function spark(values) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", "0 0 110 30");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  const wide = Math.max(values.length - 1, 1);
  line.setAttribute("points", values.map((v, i) => `${(i / wide * 106 + 2).toFixed(1)},${(27 - v * 0.24).toFixed(1)}`).join(" "));
  svg.append(line);
  return svg;
}

// The role is said because a narrow page shows rows as boxes.
const cell = (attributes, ...children) => make("td", { role: "cell", ...attributes }, ...children);

function draw(run) {
  const health = [run.health, ...(run.damaged ? [` (${run.damaged} damaged ${run.damaged === 1 ? "line" : "lines"} in its log, skipped)`] : [])];
  const row = make("tr", { role: "row", class: "one" },
    cell({}, make("button", { class: "run", type: "button", "aria-expanded": open.has(run.run), onclick: () => toggle(run.run) }, run.run)),
    cell({}, make("span", { class: `state ${run.state}` }, run.state)),
    cell({}, run.recipe),
    cell({},
      make("progress", { max: run.steps || 1, value: Math.min(run.step, run.steps || 1), "aria-label": "steps made" }),
      make("div", { class: "small soft" }, `${number(run.step)}${run.steps ? ` of ${number(run.steps)}` : ""}${left(run.seconds_left)}`)),
    cell({ class: "loss" }, spark(run.curve), make("span", { class: "small soft" }, run.loss === null ? "" : run.loss.toFixed(3))),
    cell({ class: "number" }, run.knn === null ? "" : `${(100 * run.knn).toFixed(1)}%`),
    cell({ class: `judged small level-${run.level}`, style: "padding-left: 16px" }, ...health));
  const old = rows.get(run.run), focused = old?.contains(document.activeElement);
  old?.replaceWith(row);
  rows.set(run.run, row);
  if (focused) row.querySelector("button").focus({ preventScroll: true });
  return row;
}

async function toggle(name) {
  if (open.has(name)) {
    open.get(name).remove();
    open.delete(name);
  } else {
    const detail = make("tr", { role: "row", class: "detail" }, cell({ colspan: 7 }, "…"));
    open.set(name, detail);
    rows.get(name).after(detail);
    await fill(name);
  }
  rows.get(name).querySelector("button").setAttribute("aria-expanded", open.has(name));
}

function drawn(svg) { // as the server drew it, with all names escaped
  const holder = document.createElement("template");
  holder.innerHTML = svg;
  return holder.content;
}

async function fill(name) {
  const told = await fetch(`run.json?run=${encodeURIComponent(name)}`).then((given) => given.json())
    .catch(() => ({ groups: [], lines: ["its log cannot be shown now"] }));
  const detail = open.get(name);
  if (!detail) return;
  detail.firstChild.replaceChildren(
    ...told.groups.flatMap(({ title, curves }) => [make("h3", {}, title), make("div", { class: "grid" }, ...curves.map((curve) =>
      make("figure", { class: curve.size }, make("figcaption", {}, make("b", {}, curve.title), curve.reading),
        drawn(curve.picture))))]),
    make("h3", {}, "Last lines of the log"), make("pre", { class: "log", tabindex: 0, role: "region", "aria-label": "Last lines of the log" }, told.lines.join("\n") || "none yet"));
}

function arrange() {
  const words = of("filter").value.toLowerCase(), state = of("state").value;
  const shown = [...runs.values()]
    .filter((run) => (!state || run.state === state) && (run.run + " " + run.recipe).toLowerCase().includes(words))
    .sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || (a.run < b.run ? -1 : 1));
  const lines = shown.slice(0, MOST).flatMap((run) => {
    const row = rows.get(run.run) ?? draw(run);
    return open.has(run.run) ? [row, open.get(run.run)] : [row];
  });
  if (lines.length !== body.children.length || lines.some((line, n) => line !== body.children[n])) body.replaceChildren(...lines);
  const running = [...runs.values()].filter((run) => run.state === "running").length;
  of("said").textContent = `${number(total)} ${total === 1 ? "run" : "runs"}, ${number(running)} running; ${new Date().toLocaleTimeString("en-GB")}`;
  of("more").textContent = shown.length > MOST ? `The first ${MOST} of ${number(shown.length)} are shown; a part of a name finds the others.` : "";
}

async function look() {
  try {
    const told = await (await fetch(`runs.json?since=${version}`)).json();
    for (const name of told.gone) {
      runs.delete(name);
      rows.get(name)?.remove();
      rows.delete(name);
      open.get(name)?.remove();
      open.delete(name);
    }
    for (const run of told.runs) {
      runs.set(run.run, run);
      if (rows.has(run.run)) draw(run);
      if (open.has(run.run)) fill(run.run);
    }
    total = told.total;
    if (told.runs.length || told.gone.length || version === 0) arrange();
    version = told.version;
  } catch {
    of("said").textContent = "moco watch has stopped; start it again to see more.";
  }
  setTimeout(look, 2000);
}

of("filter").addEventListener("input", arrange);
of("state").addEventListener("change", arrange);
look();
