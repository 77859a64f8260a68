/** A document as text, and where it stands in its file. */
export type Chunk = Readonly<{
  text: string
  /** Lines of the file before it. */
  line: number
  /** Its separator is wrong: what the line is, for the message. */
  separator?: string
}>

const separator = /(?:^|\n)---([^\n]*)/g

const newlines = (text: string) => {
  let count = 0
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count++
  return count
}

/** At each line that begins with `---`, as kubectl does: only a comment may follow on that line. */
function splitYaml(text: string, firstLine: number): Chunk[] {
  const chunks: Chunk[] = []
  let from = 0
  let line = firstLine
  let wrong: string | undefined
  const push = (to: number) => {
    const chunk = { text: text.slice(from, to), line }
    chunks.push(wrong === undefined ? chunk : { ...chunk, separator: wrong })
  }
  for (const match of text.matchAll(separator)) {
    const rest = (match[1] ?? '').trim()
    const start = match.index + (match[0].startsWith('\n') ? 1 : 0)
    push(start)
    line += newlines(text.slice(from, start))
    // The separator's line stays with its document, emptied, so that lines count the same.
    from = match.index + match[0].length
    wrong = rest === '' || rest.startsWith('#') ? undefined : rest
  }
  push(text.length)
  return chunks
}

/** The end of the JSON object that begins at `start`; undefined where its brackets never close. */
function endOfObject(text: string, start: number): number | undefined {
  let depth = 0
  for (let at = start; at < text.length; at++) {
    const char = text[at]
    if (char === '"') {
      for (at++; at < text.length && text[at] !== '"'; at++) if (text[at] === '\\') at++
    } else if (char === '{' || char === '[') depth++
    else if ((char === '}' || char === ']') && --depth === 0) return at + 1
  }
  return undefined
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/**
 * The documents of a file. JSON objects may follow each other without a separator (`kubectl get -o json`, `jq`);
 * what is not JSON is YAML.
 */
export function split(text: string): Chunk[] {
  const chunks: Chunk[] = []
  let from = 0
  let line = 0
  for (;;) {
    const start = from + (/^\s*/.exec(text.slice(from, from + 4096))?.[0].length ?? 0)
    const end = text[start] === '{' ? endOfObject(text, start) : undefined
    if (end === undefined || !isJson(text.slice(start, end))) break
    // Tabs in valid JSON are only ever between its tokens, where YAML may take them for indentation.
    chunks.push({ text: text.slice(from, end).replaceAll('\t', ' '), line })
    line += newlines(text.slice(from, end))
    from = end
  }
  const rest = text.slice(from)
  if (chunks.length === 0 || rest.trim() !== '') chunks.push(...splitYaml(rest, line))
  return chunks
}
