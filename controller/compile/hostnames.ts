/** Lower case, without repeats, sorted: the order in which somebody wrote them means nothing. */
export function compileHostnames(hostnames: readonly string[] | undefined): readonly string[] {
  return [...new Set((hostnames ?? []).map((name) => name.toLowerCase()))].sort()
}
