import { Environment } from '@marcbachmann/cel-js'

/**
 * The rules of the schema, evaluated as the API server does. What Kubernetes adds to CEL and our rules use is added
 * here; how it escapes reserved words (`self.__namespace__`) is undone. Rules may not compute with integers: ours come
 * as JavaScript numbers, which compare with CEL's integers but do not add to them.
 */
const environment = new Environment()
  .registerVariable('self', 'dyn')
  .registerFunction({
    name: 'isSorted',
    receiverType: 'list',
    returnType: 'bool',
    handler: (items: readonly (number | string)[]) =>
      items.every((item, i) => i === 0 || (items[i - 1] ?? item) <= item),
    params: [],
  })

function unescape(rule: string): string {
  return rule
    .replace(/has\((\w+)\.__(\w+)__\)/g, '("$2" in $1)')
    .replace(/(\w+)\.__(\w+)__/g, '$1["$2"]')
}

/** Whether the value satisfies the rule. A rule that cannot be evaluated is not satisfied, as in the API server. */
export function compileRule(rule: string): (self: unknown) => boolean {
  const program = environment.parse(unescape(rule))
  return (self) => {
    try {
      return program({ self }) === true
    } catch {
      return false
    }
  }
}
