import { reach } from './reach.ts'

type Told<Item> = Readonly<{ output: 'text' | 'json'; /** For people. */ textOf: (item: Item) => string; /** Where there is no item. */ none: string }>

/** Asks a proxy's admin port for a list, and tells it. @returns the exit code. Throws what the proxy says in place of it. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- it says what `textOf` is given
export async function report<Item>(admin: string, path: string, { output, textOf, none }: Told<Item>, stdout: (text: string) => void): Promise<number> {
  const answer = await reach(new URL(path, admin))
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${admin} answers ${answer.status}: ${text.trim().slice(0, 500)}`)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what our own admin port says
  const { items } = JSON.parse(text) as { items: readonly Item[] }
  stdout(output === 'json' ? `${JSON.stringify(items, null, 2)}\n` : items.length === 0 ? `${none}\n` : items.map(textOf).join('\n'))
  return 0
}
