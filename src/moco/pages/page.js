"use strict";
(() => {
  const root = document.documentElement;
  const button = (words, label, act, kind = "get") => {
    const made = document.createElement("button");
    made.type = "button";
    made.className = kind;
    made.textContent = words;
    made.setAttribute("aria-label", label);
    made.addEventListener("click", act);
    return made;
  };
  const save = (blob, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "") + (blob.type === "image/png" ? ".png" : ".csv");
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  const csv = (text, name) => save(new Blob(["\ufeff" + text], { type: "text/csv;charset=utf-8" }), name);
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const canvas = (width, height, scale) => {
    const made = document.createElement("canvas");
    made.width = Math.ceil(width * scale);
    made.height = Math.ceil(height * scale);
    const pen = made.getContext("2d");
    pen.scale(scale, scale);
    pen.fillStyle = colour("--paper");
    pen.fillRect(0, 0, width, height);
    return [made, pen];
  };
  const png = (made, name) => made.toBlob((blob) => save(blob, name), "image/png");

  const legend = (pen, run, x, y) => {
    const chip = run.querySelector("i");
    pen.strokeStyle = getComputedStyle(chip).color;
    pen.lineWidth = 3;
    pen.setLineDash(chip.classList.contains("dashed") ? [5, 3] : []);
    pen.beginPath();
    pen.moveTo(x, y);
    pen.lineTo(x + 22, y);
    pen.stroke();
    pen.font = `12.5px ${getComputedStyle(run).fontFamily}`;
    pen.fillStyle = colour("--ink");
    pen.textBaseline = "middle";
    pen.fillText(run.textContent.trim(), x + 30, y);
  };

  const plotAsPng = (svg, name) => {
    const copy = svg.cloneNode(true);
    const { width, height } = svg.viewBox.baseVal;
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("width", width);
    copy.setAttribute("height", height);
    const style = document.createElementNS("http://www.w3.org/2000/svg", "style");
    const names = ["--ink", "--first", "--second", "--level", "--shade", "--rule", ...Array.from({ length: 12 }, (_, n) => `--run${n}`)];
    const set = names.map((one) => `${one}: ${colour(one)}`).join("; ");
    const rules = [...document.styleSheets[0].cssRules].filter((rule) => (rule.selectorText || "").startsWith(".plot"));
    style.textContent = `.plot { ${set} } ${rules.map((rule) => rule.cssText).join(" ")}`;
    copy.prepend(style);
    const image = new Image();
    image.onload = () => {
      const runs = [...document.querySelectorAll(".legend li")]; // of pages whose pictures share one legend
      const [made, pen] = canvas(width, height + 20 * runs.length + (runs.length ? 10 : 0), 3);
      pen.drawImage(image, 0, 0, width, height);
      runs.forEach((run, n) => legend(pen, run, 58, height + 10 + 20 * n));
      png(made, name);
    };
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(new XMLSerializer().serializeToString(copy));
  };

  const sheetAsPng = (sheet, name) => {
    const box = sheet.getBoundingClientRect();
    const [made, pen] = canvas(box.width + 24, box.height + 24, 2);
    const at = (element) => {
      const one = element.getBoundingClientRect();
      return [one.left - box.left + 12, one.top - box.top + 12, one.width, one.height];
    };
    for (const image of sheet.querySelectorAll("img")) {
      const [x, y, width, height] = at(image);
      const scale = Math.min(width / image.naturalWidth, height / image.naturalHeight);
      const [w, h] = [image.naturalWidth * scale, image.naturalHeight * scale];
      pen.imageSmoothingEnabled = !image.classList.contains("coarse");
      pen.drawImage(image, x + (width - w) / 2, y + (height - h) / 2, w, h);
    }
    const range = document.createRange();
    const words = document.createTreeWalker(sheet, NodeFilter.SHOW_TEXT);
    pen.textBaseline = "middle";
    while (words.nextNode()) {
      const text = words.currentNode;
      if (!text.data.trim()) continue;
      const look = getComputedStyle(text.parentElement);
      if (look.display === "none") continue;
      pen.font = `${look.fontSize} ${look.fontFamily}`;
      pen.fillStyle = look.color;
      let line = "", first = null;
      const write = () => { if (first) pen.fillText(line.trim(), first.left - box.left + 12, (first.top + first.bottom) / 2 - box.top + 12); };
      for (let i = 0; i < text.length; i++) {  // a line of text after the other, as the page breaks them
        range.setStart(text, i);
        range.setEnd(text, i + 1);
        const here = range.getBoundingClientRect();
        if (!here.width) continue;
        if (first && Math.abs(here.top - first.top) > 4) { write(); line = ""; first = null; }
        first = first || here;
        line += text.data[i];
      }
      write();
    }
    png(made, name);
  };

  const tableAsCsv = (table) => [...table.rows].map((row) => [...row.cells].map((cell) => {
    const text = cell.innerText.replace(/\s+/g, " ").trim();
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }).join(",")).join("\n") + "\n";

  for (const figure of document.querySelectorAll("figure")) {
    const name = figure.dataset.name, row = document.createElement("div");
    row.append(
      button("PNG", `Download ${name} as a picture`, () => plotAsPng(figure.querySelector("svg"), name)),
      button("CSV", `Download ${name} as numbers`, () => csv(figure.dataset.csv, name)));
    figure.querySelector("figcaption").append(row);
  }
  for (const sheet of document.querySelectorAll(".sheet")) {
    const name = sheet.dataset.name;
    sheet.after(button("PNG", `Download ${name} as a picture`, () => sheetAsPng(sheet, name)));
  }
  for (const table of document.querySelectorAll("table")) {
    const heading = table.closest("section").querySelector("h2").textContent;
    const name = table.dataset.name || heading;
    table.after(button("CSV", `Download the table ${name}`, () => csv(tableAsCsv(table), name)));
  }

  const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const theme = button("", "", () => { root.dataset.theme = dark() ? "light" : "dark"; say(); }, "theme");
  const say = () => {
    theme.textContent = dark() ? "Light" : "Dark";
    theme.setAttribute("aria-label", `Show this page ${dark() ? "light" : "dark"}`);
  };
  say();
  document.querySelector("nav").append(theme);
})();
