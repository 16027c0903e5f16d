// Keeps regions marked `data-live` fresh: `/live` says that something changed, and htmx fetches the page again and swaps those regions.
// Every such region has an id. Pages work without this script; they are then as old as their last load.
(() => {
  "use strict";
  const QUIET = 2000; // Milliseconds between two refreshes, however much happens.
  const POLL = 10000; // Without the stream of events.
  let last = 0;
  let timer = null;
  let poll = null;

  // What a person is at work in is left alone: a field with the focus, an open menu, a marked text.
  const isInUse = (region) => {
    const active = document.activeElement;
    if (active && region.contains(active) && active.matches("input, select, textarea")) return true;
    const marked = document.getSelection();
    return Boolean(marked && !marked.isCollapsed && region.contains(marked.anchorNode));
  };

  const places = (region) => [...region.querySelectorAll("a[href], button, summary, [tabindex]")];

  // Swapped content comes closed and without the focus; what was open stays open, and whoever goes by keys stays where they are.
  const keepOpen = (region) => {
    const open = [...region.querySelectorAll("details[open][id]")].map((found) => found.id);
    const at = places(region).indexOf(document.activeElement);
    const same = at < 0 ? "" : document.activeElement.outerHTML;
    return () => {
      open.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
      if (at < 0) return;
      const now = places(document.getElementById(region.id));
      (now.find((found) => found.outerHTML === same) ?? now[at])?.focus({ preventScroll: true });
    };
  };

  const refresh = async () => {
    timer = null;
    if (document.hidden) return;
    last = Date.now();
    for (const region of document.querySelectorAll("[data-live][id]")) {
      if (isInUse(region)) continue;
      const restore = keepOpen(region);
      const select = "#" + CSS.escape(region.id);
      await htmx.ajax("GET", location.pathname + location.search, { source: region, target: select, select, swap: "outerHTML", headers: { "X-Refresh": "1" } }).catch(() => {});
      restore();
    }
    document.dispatchEvent(new CustomEvent("leadwire:fresh"));
  };

  const soon = () => {
    if (timer === null) timer = setTimeout(refresh, Math.max(0, last + QUIET - Date.now()));
  };

  const listen = () => {
    // What changed since this page was made is told at once.
    const events = new EventSource("/live?seen=" + encodeURIComponent(document.body.dataset.seen));
    events.addEventListener("message", soon);
    events.addEventListener("open", () => { clearInterval(poll); poll = null; });
    events.addEventListener("error", () => {
      if (poll === null) poll = setInterval(soon, POLL);
    });
  };

  document.addEventListener("DOMContentLoaded", () => {
    if (!document.querySelector("[data-live][id]")) return;
    last = Date.now();
    listen();
    document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
  });

  // A session that ended answers with the login page; that is shown whole, not inside a region.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.responseURL && new URL(event.detail.xhr.responseURL).pathname === "/login") {
      event.detail.shouldSwap = false;
      location.reload();
    }
  });
})();
