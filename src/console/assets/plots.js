// Draws the plots of the first page from /figures.json, in the colours of the style sheet, and keeps them fresh. The page has the same
// as a table; without this script the plots stay hidden.
(() => {
  "use strict";
  const QUIET = 5000; // Milliseconds between two looks, however much happens.
  const STEP = 60000; // Time goes on, also while nothing happens.
  const plots = [];
  let last = 0;
  let timer = null;
  let data = null;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const seconds = (value) => {
    if (value === null || value === undefined) return "–";
    const [amount, unit] = value < 1 ? [value * 1000, "ms"] : value < 120 ? [value, "s"] : value < 7200 ? [value / 60, "min"] : [value / 3600, "h"];
    return (amount < 10 ? Math.round(amount * 10) / 10 : Math.round(amount)) + " " + unit;
  };
  const count = (value) => (value === null || value === undefined ? "–" : String(value));

  // Lines differ in their dashes as well as in their colours.
  const PLOTS = {
    speed: {
      columns: [["p50", "half within", "--fine", []], ["p95", "95 % within", "--slow", [6, 3]], ["max", "slowest", "--bad", [2, 3]]],
      label: seconds,
      scale: { distr: 3, range: (_, min, max) => (min === null || max === null ? [0.01, 10] : uPlot.rangeLog(min, Math.max(max, min * 1.01), 10, true)) },
      // A line for each power of ten is enough.
      splits: (_, __, min, max) => {
        const all = [];
        for (let power = Math.round(Math.log10(min)); power <= Math.round(Math.log10(max)); power += 1) all.push(10 ** power);
        return all;
      },
    },
    rates: {
      columns: [["received", "in", "--info", []], ["delivered", "out", "--fine", [6, 3]], ["dead", "died", "--bad", []], ["refused", "refused", "--slow", [2, 3]]],
      label: count,
      scale: { range: (_, __, max) => [0, Math.max(max || 0, 4) * 1.1] },
      paths: () => uPlot.paths.stepped({ align: 1 }),
    },
  };

  const rows = (kind) => [data.at, ...PLOTS[kind].columns.map(([name]) => (kind === "speed" ? data[name].map((v) => (v === null ? null : Math.max(v, 0.001))) : data[name]))];

  // In UTC, as all moments on the pages; midnight is told as its day.
  const moments = (splits) => splits.map((at) => {
    const text = new Date(at * 1000).toISOString();
    return at % 86400 === 0 ? text.slice(5, 10) : text.slice(11, 16);
  });

  const options = (kind, width) => {
    const { columns, label, scale, splits, paths } = PLOTS[kind];
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px system-ui, sans-serif" };
    return {
      width,
      height: Math.max(180, Math.min(280, Math.round(width * 0.45))),
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      scales: { x: { time: true }, y: scale },
      axes: [{ ...axis, space: 60, values: (_, all) => moments(all) }, { ...axis, size: 64, splits, values: (_, all) => all.map((value) => (value === null || (kind === "rates" && !Number.isInteger(value)) ? "" : label(value))) }],
      series: [
        { label: "from (UTC)", value: "{YYYY}-{MM}-{DD} {HH}:{mm}" },
        ...columns.map(([, name, ink, dash]) => ({ label: name, stroke: colour(ink), width: 2, dash, value: (_, value) => label(value), paths: paths && paths(), points: { show: kind === "speed", size: 5, fill: colour(ink) } })),
      ],
      cursor: { drag: { x: false, y: false } },
    };
  };

  const draw = () => {
    plots.splice(0).forEach((plot) => plot.destroy());
    for (const place of document.querySelectorAll("[data-plot]")) {
      const kind = place.dataset.plot;
      const plot = new uPlot(options(kind, Math.max(place.clientWidth, 240)), rows(kind), place);
      plot.kind = kind;
      plot.place = place;
      plots.push(plot);
    }
  };

  const show = () => {
    if (plots.length === 0) draw();
    else plots.forEach((plot) => plot.setData(rows(plot.kind)));
  };

  const look = async (region) => {
    timer = null;
    if (document.hidden) return;
    last = Date.now();
    const answer = await fetch("/figures.json?span=" + encodeURIComponent(region.dataset.plots), { headers: { "X-Refresh": "1" } }).catch(() => null);
    // A session that ended, or a store that is away: what was drawn stays, and the page itself says why.
    if (!answer || !answer.ok || !(answer.headers.get("content-type") || "").startsWith("application/json")) return;
    data = await answer.json();
    region.hidden = false;
    show();
  };

  document.addEventListener("DOMContentLoaded", () => {
    const region = document.querySelector("[data-plots]");
    if (!region || typeof uPlot === "undefined") return;
    const soon = () => {
      if (timer === null) timer = setTimeout(() => look(region), Math.max(0, last + QUIET - Date.now()));
    };
    look(region);
    setInterval(soon, STEP);
    document.addEventListener("leadwire:fresh", soon);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (data) draw(); });
    let width = document.documentElement.clientWidth;
    addEventListener("resize", () => {
      if (!data || width === document.documentElement.clientWidth) return;
      width = document.documentElement.clientWidth;
      draw();
    });
  });
})();
