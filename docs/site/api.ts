/**
 * The public interface as the compiler sees it: every entry in `exports` of every package, every symbol it exports, with
 * what is written above it. Signatures are the source's own text, up to the body. Reads the source, needs no build.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import ts from 'typescript5';

/** A piece of source text; `links` are its names that are public themselves, in order, by offset. */
export interface Signature {
  code: string;
  links: { start: number; end: number; symbol: ts.Symbol }[];
}

export interface Documented {
  name: string;
  /** What follows `#` in the address. */
  anchor: string;
  signatures: Signature[];
  /** Markdown; empty where nothing is written. */
  doc: string;
  /** Where it is declared: the path from the repository's root, the line from 1. */
  source: { path: string; line: number };
}

export type Kind = 'class' | 'interface' | 'function' | 'type' | 'constant';

export interface ApiSymbol extends Documented {
  symbol: ts.Symbol;
  kind: Kind;
  members: Documented[];
}

export interface ApiEntry {
  /** What is imported: `@ovl/core/fs`. */
  name: string;
  /** Its page, from the site's root. */
  page: string;
  doc: string;
  /** Where its `index.ts` is, from the repository's root. */
  path: string;
  symbols: ApiSymbol[];
  /** What other entries have already: the name here, and the symbol there. */
  again: { name: string; symbol: ts.Symbol }[];
}

/** Reads all entries, the packages in the order given: a symbol stands where it is first exported. */
export function readApi(root: string, packages: readonly string[]): ApiEntry[] {
  const found = packages.flatMap((name) => entriesOf(root, name));
  const program = ts.createProgram(
    found.map(({ path }) => join(root, path)),
    {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      // Names are all that is asked for: what other people's libraries declare is not read.
      noLib: true,
      types: [],
      baseUrl: root,
      paths: Object.fromEntries(
        found.map(({ name, path }) => [name, [path]]), // not what is built, which may be older
      ),
    },
  );
  const checker = program.getTypeChecker();
  const exported = found.map((entry) => {
    const file = program.getSourceFile(join(root, entry.path)) as ts.SourceFile;
    const module = checker.getSymbolAtLocation(file) as ts.Symbol;
    const symbols = checker.getExportsOfModule(module).map((symbol) => ({
      name: symbol.name,
      symbol: symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol,
    }));
    return { ...entry, doc: headOf(file), symbols };
  });
  const known = new Set(exported.flatMap(({ symbols }) => symbols.map(({ symbol }) => symbol)));
  const reader = new Reader(root, checker, known);
  const taken = new Set<ts.Symbol>();
  return exported.map(({ symbols, ...entry }) => {
    const own = symbols.filter(({ symbol }) => !taken.has(symbol));
    for (const { symbol } of own) taken.add(symbol);
    return {
      ...entry,
      symbols: own.map(({ name, symbol }) => reader.symbol(name, symbol)).toSorted(byKind),
      again: symbols.filter((each) => !own.includes(each)),
    };
  });
}

function entriesOf(root: string, name: string): Pick<ApiEntry, 'name' | 'page' | 'path'>[] {
  const manifest = JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8')) as {
    name: string;
    exports: Record<string, unknown>;
  };
  return Object.keys(manifest.exports)
    .filter((key) => key !== './package.json')
    .map((key) => {
      const path = join('packages', name, 'src', key, 'index.ts');
      if (!existsSync(join(root, path))) throw new Error(`${manifest.name}: exports '${key}', but there is no ${path}`);
      return { name: join(manifest.name, key), page: join('api', name, key === '.' ? 'index' : key) + '.html', path };
    });
}

/** What the comment at the head of a file says. */
function headOf(file: ts.SourceFile): string {
  const ranges = ts.getLeadingCommentRanges(file.text, 0) ?? [];
  return ranges
    .filter(({ pos }, index) => index === 0 || !/\n\s*\n/.test(file.text.slice(ranges[index - 1]?.end, pos)))
    .map(({ pos, end }) => file.text.slice(pos, end).replace(/^\/\*\*?|^\/\/|\*\/$/g, ''))
    .map((text) => text.replace(/^[ \t]*\* ?/gm, '').trim())
    .join('\n');
}

const kinds: readonly Kind[] = ['function', 'class', 'interface', 'type', 'constant'];
const byKind = (a: ApiSymbol, b: ApiSymbol): number =>
  kinds.indexOf(a.kind) - kinds.indexOf(b.kind) || a.name.localeCompare(b.name, 'en');

function kindOf(symbol: ts.Symbol): Kind {
  const { flags } = symbol;
  if (flags & ts.SymbolFlags.Class) return 'class';
  if (flags & ts.SymbolFlags.Function) return 'function';
  if (flags & ts.SymbolFlags.Variable) return 'constant';
  if (flags & ts.SymbolFlags.Interface) return 'interface';
  return 'type';
}

/** Turns symbols of a program into what is shown of them. */
class Reader {
  readonly #root: string;
  readonly #checker: ts.TypeChecker;
  readonly #known: ReadonlySet<ts.Symbol>;

  constructor(root: string, checker: ts.TypeChecker, known: ReadonlySet<ts.Symbol>) {
    this.#root = root;
    this.#checker = checker;
    this.#known = known;
  }

  symbol(name: string, symbol: ts.Symbol): ApiSymbol {
    const [module] = symbol.declarations ?? [];
    if (module !== undefined && ts.isSourceFile(module)) return this.#namespace(name, symbol, module);
    const members = (symbol.declarations ?? [])
      .filter((node) => ts.isInterfaceDeclaration(node) || ts.isClassDeclaration(node))
      .flatMap((node): readonly ts.Node[] => node.members)
      .filter(isPublic);
    const byName = new Map<string, ts.Node[]>();
    for (const node of members) byName.set(nameOf(node), [...(byName.get(nameOf(node)) ?? []), node]);
    return {
      ...this.#documented(name, name, symbol, symbol.declarations ?? []),
      symbol,
      kind: kindOf(symbol),
      members: [...byName].map(([member, nodes]) => {
        const own = symbolOf(nodes[0] as ts.Node);
        return this.#documented(member, `${name}.${member}`, own, nodes);
      }),
    };
  }

  /** A whole file under one name: `export * as name`. */
  #namespace(name: string, symbol: ts.Symbol, file: ts.SourceFile): ApiSymbol {
    let code = `const ${name}: {`;
    const links: Signature['links'] = [];
    for (const each of this.#checker.getExportsOfModule(symbol)) {
      const own = each.flags & ts.SymbolFlags.Alias ? this.#checker.getAliasedSymbol(each) : each;
      const start = code.length + '\n  '.length;
      code += `\n  ${each.name},`;
      if (this.#known.has(own)) links.push({ start, end: start + each.name.length, symbol: own });
    }
    const signatures = [{ code: `${code}\n}`, links }];
    const source = { path: relative(this.#root, file.fileName), line: 1 };
    return { name, anchor: name, signatures, doc: headOf(file), source, symbol, kind: 'constant', members: [] };
  }

  #documented(name: string, anchor: string, symbol: ts.Symbol, all: readonly ts.Node[]): Documented {
    // An implementation with overloads above it is not what is called.
    const hasBody = (node: ts.Node): boolean => 'body' in node && node.body !== undefined;
    const nodes = all.some((node) => !hasBody(node)) ? all.filter((node) => !hasBody(node)) : all;
    const first = nodes[0] as ts.Node;
    const file = first.getSourceFile();
    return {
      name,
      anchor,
      signatures: nodes.map((node) => this.#signature(node)),
      doc: docOf(symbol, this.#checker),
      source: {
        path: relative(this.#root, file.fileName),
        line: file.getLineAndCharacterOfPosition(first.getStart()).line + 1,
      },
    };
  }

  #signature(node: ts.Node): Signature {
    const { start, end } = extent(node);
    const file = node.getSourceFile();
    const links: Signature['links'] = [];
    const visit = (part: ts.Node): void => {
      if (part.pos >= end) return;
      if (ts.isIdentifier(part) && part.getStart() >= start) {
        const named = this.#checker.getSymbolAtLocation(part);
        const symbol = named && named.flags & ts.SymbolFlags.Alias ? this.#checker.getAliasedSymbol(named) : named;
        if (symbol !== undefined && this.#known.has(symbol) && !isNameOf(part, node))
          links.push({ start: part.getStart() - start, end: part.end - start, symbol });
      }
      ts.forEachChild(part, visit);
    };
    visit(ts.isVariableDeclaration(node) ? node.parent.parent : node);
    return dedented(file.text.slice(start, end), links, indentOf(file.text, start));
  }
}

const symbolOf = (node: ts.Node): ts.Symbol => (node as unknown as { symbol: ts.Symbol }).symbol;
const isNameOf = (part: ts.Node, node: ts.Node): boolean => (node as ts.NamedDeclaration).name === part;

function nameOf(node: ts.Node): string {
  if (ts.isConstructorDeclaration(node)) return 'constructor';
  const { name } = node as ts.NamedDeclaration;
  return name === undefined ? '[index]' : name.getText();
}

function isPublic(node: ts.Node): boolean {
  const { name } = node as ts.NamedDeclaration;
  const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected;
  const isHidden = ts.getCombinedModifierFlags(node as ts.Declaration) & hidden;
  return !isHidden && !(name && ts.isPrivateIdentifier(name)) && !ts.isClassStaticBlockDeclaration(node);
}

/** From the first word of a declaration to where its body, its members or its value begin. */
function extent(node: ts.Node): { start: number; end: number } {
  const text = node.getSourceFile().text;
  const until = (end: number): number => end - (/[\s;{=]*$/.exec(text.slice(node.pos, end))?.[0].length ?? 0);
  if (ts.isVariableDeclaration(node)) {
    const isShort = node.type === undefined || (node.initializer && ts.isLiteralExpression(node.initializer));
    return { start: node.parent.getStart(), end: isShort ? node.end : (node.type?.end ?? node.end) };
  }
  const start = node.getStart();
  if (ts.isClassDeclaration(node) || ts.isInterfaceDeclaration(node)) {
    const head = node.heritageClauses ?? node.typeParameters;
    const after = head === undefined ? (node.name?.end ?? start) : head.end;
    return { start, end: after + (node.heritageClauses ? 0 : (/^\s*>?/.exec(text.slice(after))?.[0].length ?? 0)) };
  }
  if (ts.isPropertyDeclaration(node) && node.initializer !== undefined)
    return { start, end: node.type?.end ?? node.initializer.end };
  if ('body' in node && node.body !== undefined) return { start, end: until((node.body as ts.Node).getStart()) };
  return { start, end: until(node.end) };
}

/** The spaces that the line of `start` begins with. */
const indentOf = (text: string, start: number): number =>
  (/^[ ]*/.exec(text.slice(text.lastIndexOf('\n', start - 1) + 1))?.[0] ?? '').length;

/** The text without what callers do not see (`export`, `async`, a generator's star) and without the first line's indentation. */
function dedented(text: string, links: Signature['links'], indent: number): Signature {
  const unseen = /^(?:export |default |declare |async )+|(?<=^(?:\w+ )*function)\*|^(?:static )?\*/g;
  const cuts = [...text.matchAll(unseen), ...text.matchAll(new RegExp(`(?<=\n) {0,${indent}}`, 'g'))]
    .map(({ index, 0: cut }) => ({ index, length: cut.length }))
    .toSorted((a, b) => a.index - b.index);
  const moved = (offset: number): number =>
    offset - cuts.filter(({ index }) => index < offset).reduce((sum, { length }) => sum + length, 0);
  const code = cuts
    .toReversed()
    .reduce((rest, { index, length }) => rest.slice(0, index) + rest.slice(index + length), text);
  return {
    code: code.trimEnd(),
    links: links.map(({ start, end, symbol }) => ({ start: moved(start), end: moved(end), symbol })),
  };
}

/** The text of a comment and its tags, as Markdown. */
function docOf(symbol: ts.Symbol, checker: ts.TypeChecker): string {
  const text = ts.displayPartsToString(symbol.getDocumentationComment(checker));
  const tags = symbol.getJsDocTags(checker).map(({ name, text: parts }) => {
    const body = ts.displayPartsToString(parts);
    return name === 'throws' ? `\n\nThrows ${body}` : `\n\n**${name}** ${body}`;
  });
  return text + tags.join('');
}
