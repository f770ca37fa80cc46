"use strict";
(() => {
  const ROWS = 50; // on a page
  const byId = (id) => document.getElementById(id);
  const collator = new Intl.Collator("en", { numeric: true });

  // What is unknown comes last in both directions.
  function compare(a, b, sign) {
    const empty = (x) => x === null || x === "" || Number.isNaN(x);
    if (empty(a) || empty(b)) return empty(a) - empty(b);
    return sign * (typeof a === "string" ? collator.compare(a, b) : a < b ? -1 : a > b ? 1 : 0);
  }

  // Turn headings into buttons that call sort(column, sign).
  function sortable(table, sort) {
    const heads = [...table.querySelectorAll("th[data-column]")];
    const clear = () => heads.forEach((head) => head.removeAttribute("aria-sort"));
    for (const head of heads) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        clear();
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        sort(Number(head.dataset.column), up ? 1 : -1);
      });
    }
    return clear;
  }

  function nodes() {
    const body = byId("node-table").tBodies[0];
    const key = (row, column) => {
      const { value } = row.cells[column].dataset;
      if (value === undefined) return row.cells[column].textContent;
      return value === "" ? null : Number(value.replace("inf", "Infinity"));
    };
    sortable(byId("node-table"), (column, sign) => {
      const rows = [...body.rows];
      rows.sort((a, b) => compare(key(a, column), key(b, column), sign));
      body.append(...rows);
    });
  }

  function samples() {
    const { columns, rows, levels, images } = JSON.parse(byId("data").textContent);
    const infinite = { inf: Infinity, "-inf": -Infinity };
    const value = (row, column) => {
      const cell = rows[row][column];
      const words = levels[columns[column]];
      if (words) return words[cell];
      return typeof cell === "string" ? infinite[cell] : cell;
    };
    const shown = (x) => {
      if (x === null) return "";
      return typeof x === "string" ? x : String(x).replace("Infinity", "∞").replace("-", "−");
    };
    const place = Object.fromEntries(columns.map((name, k) => [name, k]));
    const filters = byId("filters");
    const index = filters.querySelector("[name=index]");
    const body = byId("sample-table").tBodies[0];
    const standard = rows.map((_, k) => k);
    let order = standard;
    let kept = [];
    let page = 0;

    // "17, 40-60" as pairs of ends; null if it is no such list.
    function ranges(text) {
      const found = text.split(/[\s,]+/).filter(Boolean).map((part) => /^(\d+)(?:-(\d+))?$/.exec(part));
      if (found.some((match) => match === null)) return null;
      return found.map(([, first, last]) => [Number(first), Number(last ?? first)]);
    }

    function filter() {
      const verdicts = new Set(
        [...filters.querySelectorAll("[name=verdict]:checked")].map((box) => box.value));
      const classes = [...filters.querySelectorAll("select")].filter((s) => s.value !== "");
      const wanted = ranges(index.value);
      index.setAttribute("aria-invalid", wanted === null);
      kept = order.filter((row) => {
        const k = value(row, place.index);
        return verdicts.has(value(row, place.verdict))
          && classes.every((s) => value(row, place[s.name]) === Number(s.value))
          && (!wanted?.length || wanted.some(([first, last]) => first <= k && k <= last));
      });
      page = 0;
      draw();
    }

    function cell(row, column) {
      const td = document.createElement("td");
      const x = value(row, column);
      if (columns[column] === "verdict") {
        const tag = document.createElement("span");
        tag.className = `tag ${x.replace(" ", "-")}`;
        tag.textContent = x;
        td.append(tag);
      } else {
        td.textContent = shown(x);
      }
      if (!levels[columns[column]]) td.className = "num";
      return td;
    }

    function picture(row) {
      const td = document.createElement("td");
      if (images[row]) {
        const img = document.createElement("img");
        img.src = `data:image/png;base64,${images[row]}`;
        img.alt = `input of sample ${value(row, place.index)}`;
        td.append(img);
      }
      return td;
    }

    function draw() {
      const pages = Math.max(1, Math.ceil(kept.length / ROWS));
      const first = page * ROWS;
      body.replaceChildren(...kept.slice(first, first + ROWS).map((row) => {
        const tr = document.createElement("tr");
        if (images.length) tr.append(picture(row));
        tr.append(...columns.map((_, column) => cell(row, column)));
        return tr;
      }));
      const count = (n) => n.toLocaleString("en");
      const wrong = index.getAttribute("aria-invalid") === "true";
      byId("status").textContent = `${count(kept.length)} of ${count(rows.length)} samples`
        + (wrong ? "; write indexes as 17, 40-60" : "");
      byId("page").textContent = `page ${page + 1} of ${pages}`;
      byId("previous").disabled = page === 0;
      byId("next").disabled = page === pages - 1;
    }

    const unsorted = sortable(byId("sample-table"), (column, sign) => {
      order = [...standard].sort((a, b) => compare(value(a, column), value(b, column), sign));
      filter();
    });
    filters.addEventListener("input", filter);
    byId("reset").addEventListener("click", () => {
      filters.querySelectorAll("[type=checkbox]").forEach((box) => { box.checked = true; });
      filters.querySelectorAll("select, [type=text]").forEach((field) => { field.value = ""; });
      unsorted();
      order = standard;
      filter();
    });
    byId("previous").addEventListener("click", () => { page -= 1; draw(); });
    byId("next").addEventListener("click", () => { page += 1; draw(); });
    filter();
    byId("sample-part").hidden = false;
  }

  nodes();
  samples();
})();
