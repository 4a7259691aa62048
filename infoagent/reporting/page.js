"use strict";
// Every text of a document or a model goes in by textContent, so that markup in it stays text.
function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// ---- tables that sort by a click on their head
const LEADING_NUMBER = /^(?:at most |from )?([+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)/i;
function numberIn(text) {
  const found = text.trim().replace(/^−/, "-").match(LEADING_NUMBER);
  return found ? parseFloat(found[1].replaceAll(",", "")) : null;
}
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.tabIndex = 0;
    const sort = () => {
      const rows = [...table.tBodies[0].rows];
      const text = row => row.cells[column].textContent.trim();
      const known = rows.map(text).filter(t => t && t !== "–");
      const numeric = known.length > 0 && known.filter(t => numberIn(t) !== null).length * 2 > known.length;
      // numbers begin with the largest, names with the first
      const first = numeric ? "descending" : "ascending", second = numeric ? "ascending" : "descending";
      const order = head.getAttribute("aria-sort") === first ? second : first;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      const value = row => numeric ? numberIn(text(row)) : text(row) === "–" ? null : text(row);
      const sign = order === "ascending" ? 1 : -1;
      rows.sort((a, b) => {
        const x = value(a), y = value(b);
        if (x === null || y === null) return (x === null) - (y === null); // what is unknown stands last in both orders
        return sign * (numeric ? x - y : x.localeCompare(y, undefined, { numeric: true }));
      });
      table.tBodies[0].append(...rows);
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", event => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      sort();
    });
  });
}

// ---- the viewer of single compressions; what is chosen stands in the address after #
const holder = document.getElementById("samples");
if (holder) {
  const content = JSON.parse(holder.textContent), samples = content.samples, documents = content.documents;
  const names = ["text", "data", "compressor", "problem", "predictor", "outcome", "fact", "sort", "colour"];
  const controls = Object.fromEntries(names.map(name => [name, document.getElementById("v-" + name)]));
  const rows = document.getElementById("rows"), detail = document.getElementById("detail"), count = document.getElementById("count");
  let opened = null;

  function fill(select, values) { for (const value of new Set(values)) select.append(new Option(value.length > 60 ? value.slice(0, 59) + "…" : value, value)); }
  fill(controls.data, samples.map(s => s.data));
  fill(controls.compressor, samples.map(s => s.compressor));
  fill(controls.problem, samples.map(s => s.problem));
  fill(controls.predictor, samples.flatMap(s => s.answers.map(a => a.who)));

  function answersOf(sample) {
    const wanted = controls.predictor.value;
    return wanted ? sample.answers.filter(a => a.who === wanted) : sample.answers;
  }
  function outcomesOf(sample) {
    return sample.status === "ok" ? answersOf(sample).map(a => a.outcome) : ["failed"];
  }
  function fits(sample) {
    const wanted = name => controls[name].value;
    for (const name of ["data", "compressor", "problem"]) if (wanted(name) && sample[name] !== wanted(name)) return false;
    if (wanted("outcome") && !outcomesOf(sample).includes(wanted("outcome"))) return false;
    if (wanted("fact") && sample.fact !== (wanted("fact") === "kept")) return false;
    const search = wanted("text").toLowerCase();
    return !search || [sample.text, sample.query, sample.answer].some(part => (part || "").toLowerCase().includes(search));
  }
  const keys = {
    mi: s => s.mi_hard ?? s.mi_easy,
    tokens: s => s.tokens,
    nll: s => answersOf(s).map(a => a.nll).find(value => value !== null),
  };
  function shown() {
    const found = samples.filter(fits), key = keys[controls.sort.value.replace("-", "")];
    if (!key) return found;
    const sign = controls.sort.value.startsWith("-") ? -1 : 1;
    const missing = s => key(s) === null || key(s) === undefined;
    return found.sort((a, b) => missing(a) || missing(b) ? missing(a) - missing(b) : sign * (key(a) - key(b)));
  }
  function remember() {
    const state = new URLSearchParams();
    for (const name of names) if (controls[name].value) state.set(name, controls[name].value);
    if (opened !== null) state.set("open", opened);
    history.replaceState(null, "", "#" + (String(state) || "samples-title"));
  }
  function recall() {
    if (location.hash && !location.hash.includes("=")) return false; // the name of a part of the page
    const state = new URLSearchParams(location.hash.slice(1));
    for (const name of names) {
      controls[name].value = state.get(name) || "";
      if (controls[name].value !== (state.get(name) || "")) controls[name].value = ""; // an option that is not there
    }
    opened = state.has("open") ? Number(state.get("open")) : null;
    return location.hash.length > 1;
  }
  function list() {
    const found = shown();
    count.textContent = found.length + " of " + samples.length + " shown";
    rows.replaceChildren();
    let current = found.find(s => s.id === opened) || found[0];
    for (const sample of found) {
      const button = element("button"), item = element("li"), outcomes = outcomesOf(sample);
      button.type = "button";
      button.append(element("span", sample.compressor + (sample.tokens === null ? " · failed" : " · " + sample.tokens + " tokens")));
      for (const outcome of new Set(outcomes)) if (outcome !== "likelihood") button.append(" · ", element("span", outcome, tone(outcome)));
      const mi = keys.mi(sample);
      if (mi !== null && mi !== undefined) button.append(" · " + mi.toFixed(2) + " nats");
      button.append(element("div", (sample.query || "").slice(0, 90), "note"));
      button.setAttribute("aria-current", String(sample === current));
      button.addEventListener("click", () => choose(sample, button));
      item.append(button);
      rows.append(item);
    }
    if (current) open(current); else detail.replaceChildren(element("p", "Nothing fits these filters.", "note"));
  }
  function choose(sample, button) {
    for (const other of rows.querySelectorAll("[aria-current=true]")) other.setAttribute("aria-current", "false");
    button.setAttribute("aria-current", "true");
    opened = sample.id;
    open(sample);
    remember();
  }
  function tone(outcome) { return outcome === "correct" ? "kept" : "lost"; }

  // where `part` stands in `text` as whole words (where the script sets words apart), whatever its case and spaces: [[from, to], …]
  const spaceless = /[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Thai}\p{sc=Laoo}\p{sc=Khmr}\p{sc=Mymr}]/u;
  function places(text, part) {
    if (!part || !part.trim()) return [];
    const words = part.trim().split(/\s+/).map(word => word.replace(/[\\^$.*+?()[\]{}|\/]/g, "\\$&"));
    const joined = `(?!${spaceless.source})[\\p{L}\\p{N}]`, characters = [...part.trim()];
    const before = spaceless.test(characters[0]) ? "" : `(?<!${joined})`, after = spaceless.test(characters.at(-1)) ? "" : `(?!${joined})`;
    const pattern = new RegExp(before + words.join("\\s+") + after, "giu");
    return [...text.matchAll(pattern)].map(hit => [hit.index, hit.index + hit[0].length]);
  }
  function marked(box, text, answer, evidence) {
    const answers = places(text, answer), proofs = (evidence || []).flatMap(piece => places(text, piece));
    const cuts = [...new Set([0, text.length, ...answers.flat(), ...proofs.flat()])].sort((a, b) => a - b);
    const inside = (spans, at) => spans.some(([from, to]) => from <= at && at < to);
    for (let i = 0; i + 1 < cuts.length; i++) {
      const part = text.slice(cuts[i], cuts[i + 1]);
      if (inside(answers, cuts[i])) box.append(element("mark", part));
      else if (inside(proofs, cuts[i])) box.append(element("mark", part, "evidence"));
      else box.append(part);
    }
    return box;
  }
  function coloured(sample) {
    const among = controls.colour.value === "pool" ? "pool" : "counterfactual", nats = sample[among];
    if (!nats || !sample.pieces || nats.length !== sample.pieces.length) {
      const plain = sample.text ? marked(element("p", undefined, "tokens"), sample.text, sample.answer, null) : element("p", sample.status === "ok" ? "(empty)" : "(none)", "note");
      plain.style.whiteSpace = "pre-wrap";
      const box = element("div");
      box.append(plain);
      if (sample.text && sample.pieces) box.append(element("p", "These tokens were not scored among " + (among === "pool" ? "other documents." : "changed facts."), "note"));
      return box;
    }
    const line = element("p", undefined, "tokens");
    sample.pieces.forEach((piece, i) => {
      const span = element("span", piece), strength = Math.min(0.75, Math.abs(nats[i]) / 2.5);
      if (strength > 0.02) span.style.background = `rgba(${nats[i] > 0 ? "46, 160, 88" : "220, 80, 70"}, ${strength.toFixed(2)})`;
      span.title = (nats[i] > 0 ? "+" : "") + nats[i].toFixed(2) + " nats";
      line.append(span);
    });
    return line;
  }
  function open(sample) {
    const facts = element("dl");
    const add = (name, value, className) => { if (value !== null && value !== undefined && value !== "") facts.append(element("dt", name), element("dd", String(value), className)); };
    const nats = value => value === null ? null : value.toFixed(2) + " nats";
    add("question", sample.query);
    add("answer", sample.answer);
    add("options", (sample.choices || []).join(" | "));
    add("length", sample.tokens === null ? null : sample.tokens + " tokens");
    add("MI, other documents", nats(sample.mi_easy));
    add("MI, changed facts", nats(sample.mi_hard));
    if (sample.fact !== null) add("asked fact", sample.fact ? "kept" : "missing", sample.fact ? "kept" : "lost");
    if (sample.unsupported && sample.unsupported.length) add("not in the document", sample.unsupported.join(" | "), "lost");
    if (sample.status !== "ok") add("failed", sample.error, "lost");
    for (const answer of sample.answers) {
      const said = answer.reply === null ? "" : "“" + answer.reply + "” ";
      add(answer.who, said + answer.outcome + (answer.why ? " (" + answer.why + ")" : ""), answer.outcome === "likelihood" ? "" : tone(answer.outcome));
    }
    const text = documents[sample.document];
    detail.replaceChildren(
      element("h3", sample.compressor), element("p", sample.data + ", " + sample.problem, "note"), element("h4", "compression"), coloured(sample), facts,
      element("h4", "document"),
      text === undefined ? element("p", "The document is not in this page.", "note") : marked(element("div", undefined, "document"), text, sample.answer, sample.evidence),
    );
    const box = detail.querySelector(".document");
    if (box) box.tabIndex = 0;
  }

  for (const name of names) controls[name].addEventListener("input", () => { opened = null; list(); remember(); });
  document.getElementById("v-clear").addEventListener("click", () => {
    for (const name of names) controls[name].value = "";
    opened = null;
    list();
    remember();
  });
  rows.addEventListener("keydown", event => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], buttons = [...rows.querySelectorAll("button")];
    const next = step && buttons[buttons.indexOf(document.activeElement) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
    next.click();
  });
  window.addEventListener("hashchange", () => { if (recall()) list(); });
  const chosen = recall();
  list();
  if (chosen) document.getElementById("samples-title").scrollIntoView();
}
