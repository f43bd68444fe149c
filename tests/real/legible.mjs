// What makes a page legible and usable, read from the page itself: each of these runs in the browser and gives what is
// wrong, as a list of texts.

/** Texts that are too small, as they are seen: those in drawings may be scaled. */
export const small = () => {
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const parent = node.parentElement;
    if (!node.data.trim() || parent.closest('script, style, title, desc')) continue;
    const scale = parent instanceof SVGGraphicsElement ? parent.getScreenCTM().d : 1;
    const size = parseFloat(getComputedStyle(parent).fontSize) * scale;
    if (size < 12) found.push(`${node.data.trim()}: ${size}px`);
  }
  return found;
};

/** Contrast of all texts with the ground below them that is under 4.5 (WCAG 2.2, 1.4.3). */
export const pale = () => {
  const rgb = (text) => {
    const parts = (text.match(/[\d.]+/g) ?? []).map(Number);
    return text.startsWith('color(') ? parts.map((part, at) => (at < 3 ? part * 255 : part)) : parts;
  };
  const light = (color) => {
    const [r, g, b] = color.map((part) => part / 255).map((part) => (
      part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgb(getComputedStyle(at).backgroundColor);
      if (color.length === 3) return color;
    }
    return rgb(getComputedStyle(document.body).backgroundColor);
  };
  const contrast = (one, other) => {
    const [a, b] = [light(one), light(other)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const found = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const parent = node.parentElement;
    if (!node.data.trim() || parent.closest('script, style, title, desc')) continue;
    const style = getComputedStyle(parent);
    const ratio = contrast(rgb(parent instanceof SVGElement ? style.fill : style.color), ground(parent));
    if (ratio < 4.5) found.add(`${node.data.trim()}: ${ratio.toFixed(2)}`);
  }
  for (const element of document.querySelectorAll('*')) {
    const style = getComputedStyle(element, '::before');
    const own = rgb(style.backgroundColor);
    if (!/^"[^"]/.test(style.content)) continue;
    const ratio = contrast(rgb(style.color), own.length === 3 ? own : ground(element));
    if (ratio < 4.5) found.add(`${style.content}: ${ratio.toFixed(2)}`);
  }
  return [...found];
};

/** What sticks out to the side. */
export const wide = () => {
  const room = document.documentElement.clientWidth;
  const seen = [...document.querySelectorAll('body *')].filter((element) => element.checkVisibility());
  const out = seen.filter((element) => element.getBoundingClientRect().right > room + 0.5);
  const page = document.documentElement.scrollWidth > room ? [`the page: ${document.documentElement.scrollWidth}`] : [];
  return [...page, ...out.map((element) => `${element.tagName} ${element.id} ${element.className}`)];
};

/** Controls that a pointer misses: under 24 px in either direction (WCAG 2.2, 2.5.8). */
export const tiny = () => [...document.querySelectorAll('button, input, select, textarea, nav a')]
  .filter((element) => element.checkVisibility())
  .map((element) => [element, element.getBoundingClientRect()])
  .filter(([, { width, height }]) => width < 24 || height < 24)
  .map(([element, { width, height }]) => `${element.id || element.textContent}: ${width} × ${height}`);

/** Controls that a thumb misses: under 44 px in either direction. Links within a text are as large as their words. */
export const slim = () => [...document.querySelectorAll('button, input, select, textarea, nav a')]
  .filter((element) => element.checkVisibility())
  .map((element) => [element, element.getBoundingClientRect()])
  .filter(([, { width, height }]) => width < 44 || height < 44)
  .map(([element, { width, height }]) => `${element.id || element.textContent}: ${width} × ${height}`);
