// Comforts of the page; everything is there without them.
(() => {
  "use strict";
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const themes = ["auto", "light", "dark"];

  // A page opened from disk may be refused its storage: then the choice lasts as long as the page.
  const stored = {
    get() { try { return localStorage.getItem("theme"); } catch { return null; } },
    set(value) { try { localStorage.setItem("theme", value); } catch { /* see above */ } },
  };
  let theme = themes.includes(stored.get()) ? stored.get() : "auto";
  const apply = () => {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
  };
  apply(); // before the first paint

  // What is chosen on a page stands in its address, so that it can be shared.
  const address = {
    get(key) { return new URLSearchParams(location.search).get(key) || ""; },
    set(key, value) {
      const query = new URLSearchParams(location.search);
      if (value) query.set(key, value);
      else query.delete(key);
      const text = query.toString();
      try {
        history.replaceState(null, "", location.pathname + (text && `?${text}`) + location.hash);
      } catch { /* a browser may refuse to change the address of a file */ }
    },
  };

  const themeButton = () => {
    const button = document.getElementById("theme");
    const label = () => { button.textContent = `Theme: ${theme}`; };
    label();
    button.hidden = false;
    button.addEventListener("click", () => {
      theme = themes[(themes.indexOf(theme) + 1) % themes.length];
      stored.set(theme);
      apply();
      label();
    });
  };

  // A link to something inside a closed drawer opens the drawer; a filter that hides it yields.
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let e = target; e; e = e.parentElement) {
      if (e.tagName === "DETAILS") e.open = true;
      if (e.hidden && e.dataset.verdict) all("form.filters").forEach(clear);
    }
    if (target) target.scrollIntoView();
  };

  const copyButton = (line) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      const code = line.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    line.append(button);
  };

  // Paper, ours or both: a class of the page hides the other numbers.
  const views = () => {
    const buttons = all("button[data-view]");
    const show = (view) => {
      root.dataset.view = view;
      for (const one of buttons) one.setAttribute("aria-pressed", String(one.dataset.view === view));
    };
    for (const group of all(".choice")) group.hidden = false;
    for (const button of buttons) {
      button.addEventListener("click", () => {
        show(button.dataset.view);
        address.set("view", button.dataset.view === "both" ? "" : button.dataset.view);
      });
    }
    const asked = address.get("view");
    if (buttons.some((one) => one.dataset.view === asked)) show(asked);
  };

  // Sorting. Empty cells stay at the end in both directions; the third click restores the order.
  const keyOf = (row, column) => {
    const cell = row.cells[column];
    if (!cell) return "";
    const shown = cell.querySelector(".ours .value, .printed") ?? cell;
    const text = (cell.dataset.sort ?? shown.textContent).trim().replace("\u2212", "-");
    const number = Number(text.replaceAll(",", ""));
    return text === "" || text === "\u2013" ? "" : Number.isNaN(number) ? text : number;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number"
      ? a - b
      : String(a).localeCompare(String(b), "en", { numeric: true });
  const sortBy = (table, head, direction) => {
    const body = table.tBodies[0];
    const column = Number(head.dataset.col);
    for (const one of all("thead [data-col]", table)) one.removeAttribute("aria-sort");
    if (direction) head.setAttribute("aria-sort", direction);
    const sign = direction === "descending" ? -1 : 1;
    const rows = [...body.rows].map((row) => [direction ? keyOf(row, column) : "", row]);
    rows.sort(([a, first], [b, second]) => {
      const order = a === "" || b === "" ? (a === "") - (b === "") : sign * compare(a, b);
      return order || first.dataset.order - second.dataset.order;
    });
    body.append(...rows.map(([, row]) => row));
  };
  const sorting = (table) => {
    if (!table.tBodies[0] || table.tBodies[0].rows.length < 2) return;
    [...table.tBodies[0].rows].forEach((row, number) => { row.dataset.order = number; });
    for (const head of all("thead [data-col]", table)) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const first = head.classList.contains("number") ? "descending" : "ascending";
        const second = first === "ascending" ? "descending" : "ascending";
        const now = head.getAttribute("aria-sort");
        const next = now === first ? second : now === second ? "" : first;
        sortBy(table, head, next);
        if (table.id) address.set("sort", next && `${head.dataset.col}-${next}`);
      });
    }
    const [column, direction] = table.id ? address.get("sort").split("-") : [];
    const head = table.querySelector(`thead [data-col="${Number(column)}"]`);
    if (head && ["ascending", "descending"].includes(direction)) sortBy(table, head, direction);
  };

  // Filters of a table by what its rows say of themselves.
  const filter = (form) => {
    const rows = [...document.getElementById(form.dataset.for).tBodies[0].rows];
    const wanted = all("select", form).filter((select) => select.value);
    let shown = 0;
    for (const row of rows) {
      row.hidden = wanted.some((select) => row.dataset[select.name] !== select.value);
      shown += !row.hidden;
    }
    form.querySelector("output").textContent = `${shown} of ${rows.length}`;
  };
  const clear = (form) => {
    for (const select of all("select", form)) {
      select.value = "";
      address.set(select.name, "");
    }
    filter(form);
  };
  const filters = (form) => {
    form.hidden = false;
    for (const select of all("select", form)) {
      const asked = address.get(select.name);
      if ([...select.options].some((option) => option.value === asked)) select.value = asked;
      select.addEventListener("change", () => {
        address.set(select.name, select.value);
        filter(form);
      });
    }
    filter(form);
  };

  // The legend of the matrix picks out the marks of one verdict.
  const legend = (list) => {
    const entries = all("[data-verdict]", list);
    const marks = all(".matrix [data-verdict]");
    const pick = (verdict) => {
      for (const entry of entries) {
        entry.querySelector("button").setAttribute("aria-pressed", String(entry.dataset.verdict === verdict));
      }
      for (const mark of marks) mark.classList.toggle("faded", !!verdict && mark.dataset.verdict !== verdict);
      address.set("verdict", verdict);
    };
    for (const entry of entries) {
      const word = entry.querySelector("dt > span:last-child");
      const button = document.createElement("button");
      button.type = "button";
      button.className = "pick";
      button.setAttribute("aria-pressed", "false");
      button.append(...word.childNodes);
      word.append(button);
      button.addEventListener("click", () => {
        pick(button.getAttribute("aria-pressed") === "true" ? "" : entry.dataset.verdict);
      });
    }
    const asked = address.get("verdict");
    if (entries.some((entry) => entry.dataset.verdict === asked)) pick(asked);
  };

  addEventListener("DOMContentLoaded", () => {
    themeButton();
    all(".command").forEach(copyButton);
    views();
    all("table.sortable").forEach(sorting);
    all("form.filters").forEach(filters);
    all("[data-legend]").forEach(legend);
    addEventListener("hashchange", reveal);
    if (location.hash) reveal();
  });
})();
