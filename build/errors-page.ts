import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { errors } from '../dataplane/pipeline/errors.ts'

/** `npm run generate`: codes and statuses of docs/errors.md. Cause and fix stand there, and are asked for where a code is new. */

export const path = join(import.meta.dirname, '../docs/errors.md')

export function errorsPage(): string {
  const text = readFileSync(path, 'utf8')
  const [before = '', rows = ''] = /^([^]*^\| code \|.*\n\|.*\n)((?:\| `.*\n)*)/m.exec(text)?.slice(1) ?? []
  if (before === '') throw new Error('there is no table of codes')
  const written = new Map(rows.split('\n').map((row) => [/^\| `(\w+)`/.exec(row)?.[1] ?? '', row.replace(/^\|[^|]*\|[^|]*\|/, '')]))
  const table = Object.entries(errors).map(([code, { status, title }]) => `| \`${code}\` | ${status} |${written.get(code) ?? ` ${title}. | |`}\n`)
  return before + table.join('') + text.slice(before.length + rows.length)
}

if (import.meta.main) writeFileSync(path, errorsPage())
