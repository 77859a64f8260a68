import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, parseDocument } from 'yaml'

/**
 * `node build/release.ts check TAG`: whether a release can be made of this tree as that tag: exit code 1 and the reasons
 * where it cannot. `… notes TAG FILE`: writes what the changelog says of it. `… chart REPOSITORY DIGEST`: makes an image the
 * default of the chart, by what is in it and not by a tag.
 */

export type Stated = Readonly<{
  /** `v1.2.3`. */
  tag: string
  manifest: Readonly<{ version: string; repository?: Readonly<{ url: string }> }>
  chart: Readonly<{ version: string; appVersion: string }>
  changelog: string
  /** `owner/name`, where the release is made; undefined elsewhere. */
  repository: string | undefined
}>

/** All that speaks against it. */
export function disagreements({ tag, manifest, chart, changelog, repository }: Stated): readonly string[] {
  const { version } = manifest
  const found: string[] = []
  if (!/^v\d+\.\d+\.\d+(-[0-9a-z.-]+)?$/.test(tag)) return [`${tag} is no tag of a release, such as v1.2.3`]
  if (tag !== `v${version}`) found.push(`package.json has version ${version}, and the tag is ${tag}`)
  if (chart.version !== version) found.push(`the chart has version ${chart.version}, and package.json ${version}`)
  if (chart.appVersion !== version) found.push(`the chart installs ${chart.appVersion}, and package.json has version ${version}`)
  if (notesOf(changelog, version) === '') found.push(`CHANGELOG.md says nothing of ${version}`)
  // npm refuses a provenance that names another repository than the package.
  const url = manifest.repository?.url
  if (repository !== undefined && url !== `git+https://github.com/${repository}.git`) {
    found.push(`package.json has the repository ${url}, and the release is made in ${repository}`)
  }
  return found
}

/** What stands below the heading of a version, up to the next one; empty where there is none. */
export function notesOf(changelog: string, version: string): string {
  const lines = changelog.split('\n')
  const from = lines.findIndex((line) => line.startsWith(`## [${version}]`))
  if (from === -1) return ''
  const to = lines.findIndex((line, at) => at > from && /^(## |\[[^\]]+\]: )/.test(line))
  return lines.slice(from + 1, to === -1 ? undefined : to).join('\n').trim()
}

/** Links to files beside the changelog, as a page elsewhere has them: to what they were in that release. */
export const withLinks = (notes: string, url: string, tag: string): string =>
  notes.replaceAll(/\]\((?![a-z]+:|#)([^)\s]+)\)/g, (_, path: string) => `](${url.replace(/^git\+|\.git$/g, '')}/blob/${tag}/${path})`)

/** The chart's values with that image as their default. */
export function withImage(values: string, repository: string, digest: string): string {
  if (!/^sha256:[0-9a-f]{64}$/.test(digest)) throw new Error(`${digest} is no digest of an image`)
  const document = parseDocument(values)
  document.setIn(['image', 'repository'], repository)
  document.setIn(['image', 'digest'], digest)
  return document.toString({ lineWidth: 0, indentSeq: false })
}

const root = join(import.meta.dirname, '..')
const read = (path: string) => readFileSync(join(root, path), 'utf8')

function main([what, first, second]: readonly string[]): number {
  if (what === 'check' && first !== undefined) return check(first)
  if (first === undefined || second === undefined || (what !== 'notes' && what !== 'chart')) {
    console.error('usage: node build/release.ts check TAG | notes TAG FILE | chart REPOSITORY DIGEST')
    return 2
  }
  const values = 'charts/modelroute/values.yaml'
  if (what === 'notes') {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a file of this repository
    const { repository } = JSON.parse(read('package.json')) as Stated['manifest']
    writeFileSync(second, `${withLinks(notesOf(read('CHANGELOG.md'), first.replace(/^v/, '')), repository?.url ?? '', first)}\n`)
  }
  else writeFileSync(join(root, values), withImage(read(values), first, second))
  return 0
}

function check(tag: string): number {
  const found = disagreements({
    tag, changelog: read('CHANGELOG.md'),
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- files of this repository
    manifest: JSON.parse(read('package.json')) as Stated['manifest'],
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- likewise
    chart: parse(read('charts/modelroute/Chart.yaml')) as Stated['chart'], repository: process.env['GITHUB_REPOSITORY'],
  })
  for (const each of found) console.error(each)
  return found.length === 0 ? 0 : 1
}

if (import.meta.main) process.exitCode = main(process.argv.slice(2))
