// gatectl console: live feed, keyboard, dialogs. Every page also works without it. Written for old browsers: no modules.
(function () {
  "use strict";
  var $ = function (id) { return document.getElementById(id); };
  var each = function (list, act) { Array.prototype.forEach.call(list, act); };
  var typing = function (element) { return /^(INPUT|SELECT|TEXTAREA)$/.test(element.tagName) && element.type !== "radio"; };

  // --- the live feed: server-sent events; a poll each 5 s where they do not hold -----------------------------
  var source = null, poll = null, feedUrl = "";
  function live(state, at) {
    var dot = $("live");
    if (!dot) { return; }
    dot.setAttribute("data-state", state);
    dot.title = dot.getAttribute("data-" + state) || "";
    if (at) { dot.querySelector("time").textContent = at; }
    if (state === "lost") { dot.lastElementChild.firstChild.textContent = dot.getAttribute("data-lost") + " · "; }
  }
  function news(data) {
    var bar = $("news");
    if (!bar) { return; }
    bar.hidden = !data.n;
    bar.textContent = bar.getAttribute("data-words").replace("{n}", data.n >= 100 ? "99+" : data.n);
  }
  function heard(state, text) {
    var data;
    try { data = JSON.parse(text); } catch (error) { return; }
    live(state, data.at);
    news(data);
  }
  function ask() {
    var bar = $("news");
    if (!bar) { return; }
    fetch(bar.getAttribute("data-poll"), { credentials: "same-origin" })
      .then(function (answer) { if (!answer.ok) { throw new Error(answer.status); } return answer.text(); })
      .then(function (text) { heard("polling", text); })
      .catch(function () { live("lost"); });
  }
  function startPolling() { if (!poll) { poll = window.setInterval(ask, 5000); ask(); } }
  function stopFeed() {
    if (source) { source.close(); source = null; }
    if (poll) { window.clearInterval(poll); poll = null; }
    feedUrl = "";
  }
  function startFeed() {
    var bar = $("news"), url = bar && bar.getAttribute("data-stream");
    if (url === feedUrl) { return; }
    stopFeed();
    if (!url) { return; }
    feedUrl = url;
    if (!window.EventSource) { startPolling(); return; }
    var misses = 0;
    source = new EventSource(url);
    source.addEventListener("news", function (event) {
      misses = 0;
      if (poll) { window.clearInterval(poll); poll = null; }
      heard("live", event.data);
    });
    source.onerror = function () {
      misses += 1;
      if (misses > 2 || source.readyState === 2) { startPolling(); }
    };
  }

  // --- dialogs -------------------------------------------------------------------------------------------------
  var cameFrom = null;
  function closeDialog() {
    var box = $("dialog");
    if (!box || !box.firstElementChild) { return false; }
    box.textContent = "";
    if (cameFrom && document.body.contains(cameFrom)) { cameFrom.focus(); }
    cameFrom = null;
    return true;
  }
  function dialogShown() {
    var box = $("dialog"), first = box.querySelector("[aria-invalid], [autofocus], input[type=radio]:checked, .body input:not([type=hidden]), [role=dialog] h2");
    if (first) { first.focus(); }
  }
  function keepFocus(event) {
    var box = $("dialog");
    if (!box || !box.firstElementChild) { return; }
    var able = box.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea");
    if (!able.length) { return; }
    var last = able[able.length - 1];
    if (event.shiftKey && document.activeElement === able[0]) { last.focus(); event.preventDefault(); }
    else if (!event.shiftKey && document.activeElement === last) { able[0].focus(); event.preventDefault(); }
  }

  // --- rows ----------------------------------------------------------------------------------------------------
  var at = -1;
  function rows() { return document.querySelectorAll("[data-rows] tr[data-href]"); }
  function go(step) {
    var all = rows();
    if (!all.length) { return; }
    if (all[at]) { all[at].classList.remove("is-at"); }
    at = Math.max(0, Math.min(all.length - 1, at + step));
    all[at].classList.add("is-at");
    all[at].scrollIntoView({ block: "nearest" });
    var link = all[at].querySelector("a[href]");
    if (link) { link.focus({ preventScroll: true }); }
  }

  document.addEventListener("click", function (event) {
    var target = event.target;
    if (target.closest("[data-close]") && closeDialog()) { event.preventDefault(); return; }
    if (target.hasAttribute("data-veil")) { closeDialog(); return; }
    var bar = target.closest("#news");
    if (bar) {
      stopFeed();
      window.scrollTo(0, 0);
      window.htmx.ajax("GET", bar.getAttribute("data-fresh"), { target: "#log", select: "#log", swap: "outerHTML" });
      return;
    }
    var back = target.closest("[data-back]");
    if (back && document.referrer.indexOf(location.origin + back.getAttribute("href")) === 0 && history.length > 1) {
      event.preventDefault();
      history.back();
      return;
    }
    if (target.closest("[data-print]")) {
      document.body.classList.add("print-pass");
      window.print();
      document.body.classList.remove("print-pass");
      return;
    }
    if (target.hasAttribute("data-select")) { target.select(); }
    var row = target.closest("tr[data-href]");
    if (row && !target.closest("a, button, input, form") && !String(window.getSelection())) { location.href = row.getAttribute("data-href"); }
    each(document.querySelectorAll("details.menu[open]"), function (menu) { if (!menu.contains(target)) { menu.removeAttribute("open"); } });
  });

  document.addEventListener("change", function (event) {
    if (event.target.hasAttribute("data-quiet")) { event.stopPropagation(); }
    if (event.target.hasAttribute("data-go")) { event.target.form.submit(); }
  }, true);

  // --- keys ----------------------------------------------------------------------------------------------------
  var went = 0, places = { e: "/events", d: "/gates", p: "/people", i: "/inside", r: "/rules" };
  document.addEventListener("keydown", function (event) {
    var target = event.target, key = event.key;
    if (key === "Tab") { keepFocus(event); return; }
    if (key === "Escape") {
      each(document.querySelectorAll("details.menu[open]"), function (menu) { menu.removeAttribute("open"); });
      if (!closeDialog() && typing(target)) { target.blur(); }
      return;
    }
    if (typing(target) || event.ctrlKey || event.metaKey || event.altKey) { return; }
    if ($("dialog") && $("dialog").firstElementChild) {
      var choice = document.querySelector("#dialog input[data-key='" + (/^[0-9]$/.test(key) ? key : "-") + "']");
      if (choice) { choice.checked = true; choice.focus(); event.preventDefault(); }
      return;
    }
    if (went && Date.now() - went < 1200 && places[key]) { location.href = places[key]; return; }
    went = key === "g" ? Date.now() : 0;
    if (key === "/") {
      var search = document.querySelector("[data-slash]");
      if (search) { search.focus(); search.select(); event.preventDefault(); } else { location.href = "/people"; }
    } else if (key === "j" || (key === "ArrowDown" && at >= 0)) { go(1); event.preventDefault(); }
    else if (key === "k" || (key === "ArrowUp" && at >= 0)) { go(-1); event.preventDefault(); }
    else if (key === "Enter" && at >= 0 && !target.closest("a, button, summary")) { var row = rows()[at]; if (row) { location.href = row.getAttribute("data-href"); } }
    else if (key === "?") { window.htmx.ajax("GET", "/keys", { target: "#dialog" }); }
    else if (key === "ArrowLeft" || key === "ArrowRight") { var link = document.querySelector("a[data-key='" + key + "']"); if (link) { location.href = link.href; } }
  });

  // --- htmx ----------------------------------------------------------------------------------------------------
  document.addEventListener("htmx:configRequest", function (event) {
    // a filter that asks nothing stays out of the URL
    if (event.detail.verb !== "get") { return; }
    var fields = event.detail.formData || null;
    if (!fields) { return; }
    var empty = [];
    fields.forEach(function (value, name) { if (value === "") { empty.push(name); } });
    empty.forEach(function (name) { fields.delete(name); });
  });
  document.addEventListener("htmx:beforeRequest", function (event) {
    if (event.detail.target && event.detail.target.id === "dialog" && !cameFrom) { cameFrom = document.activeElement; }
    // a refresh must not pull a control away from under a finger
    if (event.detail.elt.id === "tiles" && $("dialog").firstElementChild) { event.preventDefault(); }
  });
  document.addEventListener("htmx:beforeSwap", function (event) {
    var status = event.detail.xhr.status, isSame = event.detail.target.id === "held" && event.detail.serverResponse.trim() === lastHeld;
    if (status === 400 || status === 422) { event.detail.shouldSwap = true; event.detail.isError = false; }
    if (event.detail.target.id === "held") { if (isSame) { event.detail.shouldSwap = false; } lastHeld = event.detail.serverResponse.trim(); }
  });
  var lastHeld = "";
  document.addEventListener("htmx:afterSwap", function (event) {
    if (event.detail.target.id === "dialog") { dialogShown(); }
    if (event.detail.target.id === "log" || event.detail.target.id === "hits") { at = -1; }
    startFeed();
  });
  document.addEventListener("htmx:responseError", function (event) {
    var status = event.detail.xhr.status;
    if (status === 401) { return; }
    var main = $("main"), old = document.querySelector(".toast-bad");
    if (old) { old.remove(); }
    main.insertAdjacentHTML("afterbegin", event.detail.xhr.responseText.slice(0, 4000));
  });
  function linkLost(isLost) {
    var strip = $("link-lost");
    if (!strip) { return; }
    if (isLost && strip.hidden) {
      var words = strip.querySelector("[data-words]");
      words.textContent = words.getAttribute("data-words").replace("{at}", new Date().toTimeString().slice(0, 8));
    }
    strip.hidden = !isLost;
  }
  document.addEventListener("htmx:sendError", function () { linkLost(true); });
  document.addEventListener("htmx:timeout", function () { linkLost(true); });
  document.addEventListener("htmx:afterRequest", function (event) { if (event.detail.xhr && event.detail.xhr.status) { linkLost(false); } });

  window.addEventListener("pagehide", stopFeed);
  window.addEventListener("pageshow", startFeed);
  startFeed();
})();
