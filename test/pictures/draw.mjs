// Draws a picture of each dashboard from what TestDashboards has recorded of the answers of
// a real Elasticsearch: node draw.mjs answers.json DIR, which `make pictures` does.
//
// The pictures aren't screenshots of Kibana. They are drawn with the library that Kibana's
// charts are drawn with, in the places of Kibana's grid, in headless Chromium, whose image
// pngquant makes small.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { build } from 'esbuild'
import { heightOf, width } from './layout.mjs'

const [answers, dir] = process.argv.slice(2)
if (!dir) {
  console.error('usage: node draw.mjs answers.json DIR')
  process.exit(2)
}

const here = import.meta.dirname
const beginnings = { 'swarmgauge-swarm': 33, 'swarmgauge-neighbours': 26 } // rows of the grid
const most = 60 * 1024 // bytes of a picture, for which it may lose colours and become smaller
const scales = [0.8, 0.7, 0.6, 0.55] // 0.8 is as wide as what shows them
const temp = mkdtempSync(join(tmpdir(), 'pictures-'))
process.on('exit', () => rmSync(temp, { recursive: true, force: true }))
mkdirSync(dir, { recursive: true })

const bundle = join(temp, 'page.js')
await build({
  entryPoints: [join(here, 'page.jsx')], outfile: bundle, bundle: true, minify: true, jsx: 'automatic',
  define: { 'process.env.NODE_ENV': '"production"' }, logLevel: 'warning',
})

const { from, to, dashboards } = JSON.parse(readFileSync(answers, 'utf8'))

// draw makes one picture.
function draw(dashboard, name) {
  const page = join(temp, name + '.html')
  const json = JSON.stringify({ from, to, dashboard }).replaceAll('<', '\\u003c')
  writeFileSync(page, `<!doctype html><meta charset="utf-8">
<link rel="stylesheet" href="${join(temp, 'page.css')}"><link rel="stylesheet" href="${join(here, 'page.css')}">
<div id="page"></div><script>window.drawing = ${json}</script><script src="${bundle}"></script>`)
  const picture = join(dir, name + '.png')
  const raw = join(temp, name + '.png')
  for (const scale of scales) {
    screenshot(page, heightOf(dashboard), scale, raw)
    for (const colors of [48, 32, 24]) {
      execFileSync('pngquant', ['--force', '--strip', '--nofs', '--speed', '1', '--output', picture, colors, raw])
      if (statSync(picture).size <= most) break
    }
    if (statSync(picture).size <= most) break
  }
  console.log(picture, statSync(picture).size, 'bytes')
}

// screenshot makes an image of a page in a window of that many pixels of CSS.
function screenshot(page, height, scale, file) {
  execFileSync('chromium', [
    '--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--allow-file-access-from-files',
    '--user-data-dir=' + join(temp, 'profile'), '--force-device-scale-factor=' + scale, '--virtual-time-budget=5000',
    `--window-size=${width},${height}`, '--screenshot=' + file, 'file://' + resolve(page),
  ], { stdio: 'ignore', timeout: 120_000 })
}

for (const dashboard of dashboards) {
  draw(dashboard, dashboard.id)
  // The README shows how two of them begin, without the panel of links.
  if (dashboard.id in beginnings) {
    const [links, ...panels] = dashboard.panels
    const shown = panels.filter(p => p.y + p.h <= links.h + beginnings[dashboard.id])
    draw({ ...dashboard, panels: shown.map(p => ({ ...p, y: p.y - links.h })) }, dashboard.id + '-top')
  }
}
