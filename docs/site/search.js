// The search: words against headings and text, in a list that is loaded when somebody first looks for something.
(() => {
  const root = document.currentScript.dataset.root;
  const place = document.getElementById('search');
  const field = document.createElement('input');
  field.type = 'search';
  field.placeholder = 'Search';
  field.setAttribute('aria-label', 'Search the documentation');
  field.autocomplete = 'off';
  const list = document.createElement('ol');
  list.hidden = true;
  place.append(field, list);

  let loading;
  const load = () => {
    loading ??= new Promise((resolve, reject) => {
      const script = document.createElement('script');
      script.src = `${root}search-index.js`;
      script.onload = resolve;
      script.onerror = reject;
      document.head.append(script);
    });
    return loading;
  };

  /** How well a row answers; 0 where a word is in no part of it. */
  const score = ([page, heading, , text], words) => {
    let sum = 0;
    for (const word of words) {
      const name = heading.toLowerCase();
      if (name === word) sum += 100;
      else if (name.startsWith(word)) sum += 40;
      else if (name.includes(word)) sum += 20;
      else if (page.toLowerCase().includes(word)) sum += 8;
      else if (text.toLowerCase().includes(word)) sum += 1;
      else return 0;
    }
    return sum;
  };

  const excerpt = (text, word) => {
    const at = Math.max(0, text.toLowerCase().indexOf(word) - 40);
    return `${at > 0 ? '…' : ''}${text.slice(at, at + 120)}`;
  };

  const element = (name, text) => Object.assign(document.createElement(name), { textContent: text });

  const show = async () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    list.hidden = words.length === 0;
    if (list.hidden) return;
    await load();
    const hits = window.ovlSearchIndex
      .map((row) => ({ row, points: score(row, words) }))
      .filter(({ points }) => points > 0)
      .sort((a, b) => b.points - a.points)
      .slice(0, 12);
    list.replaceChildren(
      ...hits.map(({ row: [page, heading, address, text] }) => {
        const link = document.createElement('a');
        link.href = root + address;
        link.append(element('b', heading), element('small', page), element('span', excerpt(text, words[0])));
        const item = document.createElement('li');
        item.append(link);
        return item;
      }),
    );
    if (hits.length === 0) list.append(element('li', 'Nothing found.'));
  };

  field.addEventListener('focus', load, { once: true });
  field.addEventListener('input', show);
  const links = () => [...list.querySelectorAll('a')];
  place.addEventListener('keydown', (event) => {
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === 'Escape') {
      field.value = '';
      list.hidden = true;
      field.focus();
    } else if (event.key === 'Enter' && event.target === field) links()[0]?.click();
    else if (move !== undefined) {
      const all = [field, ...links()];
      all[(all.indexOf(document.activeElement) + move + all.length) % all.length].focus();
      event.preventDefault();
    }
  });
  list.addEventListener('click', () => {
    list.hidden = true;
  });
  document.addEventListener('click', (event) => {
    if (!place.contains(event.target)) list.hidden = true;
  });
  document.addEventListener('keydown', (event) => {
    if (event.key !== '/' || /^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) return;
    event.preventDefault();
    field.focus();
  });
})();
