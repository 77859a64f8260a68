const escape = '\u001B'

/** A sequence as terminals send it for keys that have no letter (ECMA-48: CSI; SS3), or one letter. */
const key = new RegExp(`${escape}[[O]([0-9;]*)([A-Za-z~])|${escape}|[\\s\\S]`, 'gu')

const plain = new Map([['\r', 'enter'], ['\n', 'enter'], [escape, 'escape'], ['\u007F', 'backspace'], ['\b', 'backspace'], ['\u0003', 'interrupt'], ['\u001A', 'suspend']])
const sequences = new Map([['A', 'up'], ['B', 'down'], ['5~', 'page-up'], ['6~', 'page-down'], ['H', 'home'], ['F', 'end']])

/** What somebody presses, one after the other, of what a terminal sends at once. */
export function keysIn(bytes: string): readonly string[] {
  return [...bytes.matchAll(key)].map(([all, code = '', letter]) => (
    letter === undefined ? plain.get(all) ?? all : sequences.get(`${code}${letter}`) ?? ''
  )).filter((key) => key !== '')
}
