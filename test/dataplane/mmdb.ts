/** Writes a database in MaxMind DB format 2.0, as small as can be: IPv4 networks and the country of each. */
export function countryDatabase(networks: Readonly<Record<string, string>>): Buffer {
  const countries = [...new Set(Object.values(networks))]
  const records = countries.map((iso) => map({ country: map({ iso_code: text(iso) }) }))
  const offsets = new Map<string, number>()
  let size = 0
  for (const [i, record] of records.entries()) {
    offsets.set(countries[i] ?? '', size)
    size += record.length
  }
  const nodes: (number | string | undefined)[][] = [[undefined, undefined]]
  for (const [network, iso] of Object.entries(networks)) {
    const [address = '', length = '0'] = network.split('/')
    const bits = address.split('.').map((byte) => Number(byte).toString(2).padStart(8, '0')).join('')
    let at = 0
    for (let depth = 0; depth < Number(length); depth++) {
      const side = Number(bits[depth])
      const child = nodes[at]?.[side]
      if (depth === Number(length) - 1) nodes[at]![side] = iso
      else if (typeof child === 'number') at = child
      else {
        const next = nodes.push([undefined, undefined]) - 1
        nodes[at]![side] = next
        at = next
      }
    }
  }
  const tree = Buffer.alloc(nodes.length * 6)
  const valueOf = (child: number | string | undefined) =>
    typeof child === 'number' ? child : child === undefined ? nodes.length : nodes.length + 16 + (offsets.get(child) ?? 0)
  for (const [i, [left, right]] of nodes.entries()) {
    tree.writeUIntBE(valueOf(left), i * 6, 3)
    tree.writeUIntBE(valueOf(right), i * 6 + 3, 3)
  }
  const metadata = map({
    node_count: number(nodes.length), record_size: number(24), ip_version: number(4), database_type: text('test'), build_epoch: number(1),
    binary_format_major_version: number(2), binary_format_minor_version: number(0), languages: Buffer.from([0x00, 0x04]), description: map({}),
  })
  return Buffer.concat([tree, Buffer.alloc(16), ...records, Buffer.from('\u00ab\u00cd\u00efMaxMind.com', 'latin1'), metadata])
}

const text = (value: string) => Buffer.concat([Buffer.from([(2 << 5) | value.length]), Buffer.from(value)])
const number = (value: number) => Buffer.from([(6 << 5) | 4, value >>> 24, value >>> 16, value >>> 8, value])
const map = (entries: Readonly<Record<string, Buffer>>): Buffer =>
  Buffer.concat([Buffer.from([(7 << 5) | Object.keys(entries).length]), ...Object.entries(entries).flatMap(([key, value]) => [text(key), value])])
