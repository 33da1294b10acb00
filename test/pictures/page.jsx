// The page of one dashboard, made of window.drawing in headless Chromium.
import { AnnotationDomainType, Axis, AreaSeries, BarSeries, Chart, CurveType, Heatmap, LIGHT_THEME, LineAnnotation, LineSeries, Position, ScaleType, Settings } from '@elastic/charts'
import '@elastic/charts/dist/theme_light.css'
import { createRoot } from 'react-dom/client'
import { clock, show, tick } from './format.mjs'
import { boxOf, heading } from './layout.mjs'

// Kibana's default palette: colours that most people can tell apart.
const colors = ['#54B399', '#6092C0', '#D36086', '#9170B8', '#CA8EAE', '#D6BF57', '#B9A888', '#DA8B45', '#AA6556', '#E7664C']
const alarm = '#F1B9AE'
const warning = '#EFE3B3'

function Page({ from, to, dashboard }) {
  const day = new Date(from).toISOString().slice(0, 10)
  return <>
    <h1>{dashboard.title}</h1>
    <div className="range">{day} {clock(from)} – {clock(to)} UTC</div>
    <div className="controls">{dashboard.controls.map(c =>
      <div className="control" key={c.title}><b>{c.title}</b><span>{c.chosen || 'Any'}</span></div>)}</div>
    {dashboard.panels.map(p => {
      const box = boxOf(p)
      return <div className="panel" key={p.id} style={{ ...box, top: box.top + heading }}>
        {p.kind !== 'text' && <h2>{p.title}</h2>}
        <div className="body"><Body panel={p} from={from} to={to} /></div>
      </div>
    })}
  </>
}

function Body({ panel, from, to }) {
  if (panel.kind === 'text') return <div className="text" dangerouslySetInnerHTML={{ __html: html(panel.text) }} />
  if (panel.layers.every(l => l.rows.length === 0)) return <div className="empty">No results found</div>
  switch (panel.kind) {
    case 'table': return <Table {...panel.layers[0]} sortBy={panel.sortBy} />
    case 'number': return <Numbers {...panel.layers[0]} />
    case 'heat': return <Heat panel={panel} />
  }
  return <XY panel={panel} from={from} to={to} />
}

// html shows what dashboards use of Markdown.
function html(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
    .replace(/\*\*(.+?)\*\*/g, '<b>$1</b>').replace(/\[(.+?)\]\(.*?\)/g, '<a>$1</a>').replace(/`(.+?)`/g, '<code>$1</code>')
}

// shade returns the colour of a number beyond its limits.
function shade({ limits }, value) {
  if (!limits || typeof value !== 'number') return
  return value >= limits.Alarm ? alarm : value >= limits.Warning ? warning : '#C4E0DA'
}

const isNumber = c => !c.bucket && c.unit !== ''

function Table({ columns, rows, sortBy }) {
  if (sortBy !== undefined) rows = rows.toSorted((a, b) => (b[sortBy] ?? -Infinity) - (a[sortBy] ?? -Infinity))
  return <table>
    <thead><tr>{columns.map(c => <th key={c.name} className={isNumber(c) ? 'number' : ''}>{c.name}</th>)}</tr></thead>
    <tbody>{rows.slice(0, 10).map((row, i) => <tr key={i}>{columns.map((c, j) =>
      <td key={j} className={isNumber(c) ? 'number' : ''} style={{ background: shade(c, row[j]) }}>{show(row[j], c.unit)}</td>)}</tr>)}</tbody>
  </table>
}

// Numbers shows the first metric of each row large, and the second small below it.
function Numbers({ columns, rows }) {
  const first = columns.findIndex(c => !c.bucket)
  const main = columns[first], second = columns[first + 1]
  return <div className="metrics">{rows.map((row, i) =>
    <div className="metric" key={i} style={{ background: shade(main, row[first]) ?? '#fff' }}>
      {first > 0 && <small>{show(row[0])}</small>}
      <big>{show(row[first], main.unit)}</big>
      {second && <small>{second.name} {show(row[first + 1], second.unit)}</small>}
    </div>)}</div>
}

const look = { axes: { tickLabel: { fontSize: 11 } } }

function sizeOf(panel) {
  const box = boxOf(panel)
  return [box.width - 18, box.height - 36]
}

// hours are the lengths of the time ranges that panels have of their own.
const hours = { '24h': 24, '7d': 7 * 24 }

function XY({ panel, from, to }) {
  if (panel.last) from = to - hours[panel.last] * 3600e3
  const sideways = panel.layers.some(l => l.series === 'bar_horizontal')
  const series = panel.layers.flatMap(seriesOf)
  const timed = series.some(s => s.timed)
  const axes = [...new Map(series.map(s => [s.axis, s])).values()]
  const curve = panel.steps ? CurveType.CURVE_STEP_AFTER : CurveType.LINEAR
  const legend = !sideways && (series.length > 1 || series.some(s => s.split))
  return <div className="chart"><Chart size={sizeOf(panel)}>
    <Settings baseTheme={LIGHT_THEME} rotation={sideways ? 90 : 0} locale="en"
      theme={{ ...look, colors: { vizColors: colors, defaultVizColor: colors[0] }, chartMargins: { left: 0, right: 8, top: 6, bottom: 0 }, lineSeriesStyle: { point: { visible: 'never' } }, areaSeriesStyle: { point: { visible: 'never' }, area: { opacity: 0.5 } } }}
      showLegend={legend} legendPosition={Position.Bottom} legendSize={legendHeight(panel, series)}
      xDomain={timed ? { min: from, max: to, minInterval: bucketLength(panel) } : undefined} />
    <Axis id="x" position={sideways ? Position.Left : Position.Bottom} tickFormat={timed ? clock : String} timeAxisLayerCount={0} ticks={5} style={{ tickLine: { visible: timed } }} />
    {axes.map(a => <Axis key={a.axis} id={a.axis} groupId={a.axis} ticks={4} domain={{ min: 0, max: NaN }}
      position={sideways ? Position.Bottom : a.axis === 'right' ? Position.Right : Position.Left} tickFormat={v => tick(v, a.unit)} gridLine={{ visible: a.axis === 'left' }} />)}
    {series.map(s => {
      const Series = s.type.startsWith('bar') ? BarSeries : s.type.startsWith('area') ? AreaSeries : LineSeries
      return <Series key={s.id} id={s.id} name={s.name} groupId={s.axis} data={s.data} xAccessor="x" yAccessors={['y']} curve={curve}
        splitSeriesAccessors={s.split ? ['g'] : undefined} stackAccessors={s.type.endsWith('stacked') ? ['x'] : undefined}
        xScaleType={s.timed ? ScaleType.Time : ScaleType.Ordinal} yScaleType={ScaleType.Linear} color={s.color} />
    })}
    {(panel.lines ?? []).map(l => <LineAnnotation key={l.Label} id={l.Label} groupId="left" domainType={AnnotationDomainType.YDomain}
      dataValues={[{ dataValue: l.At, details: l.Label }]}
      style={{ line: { stroke: '#cc5642', strokeWidth: 1, dash: [4, 4], opacity: 1 } }} />)}
  </Chart>{(panel.lines ?? []).map(l => <div className="mark" key={l.Label}>- - {l.Label} ({show(l.At, l.Unit)})</div>)}</div>
}

// bucketLength returns the milliseconds between the times of a panel that are nearest to each
// other, which is the length of its buckets, or of the whole dashboard's, where it has one.
function bucketLength(panel) {
  for (const panels of [[panel], window.drawing.dashboard.panels]) {
    const times = panels.flatMap(p => p.layers.flatMap(l => {
      const time = l.columns.findIndex((c, j) => c.bucket && l.rows[0]?.[j]?.time !== undefined)
      return time < 0 ? [] : l.rows.map(row => row[time].time)
    }))
    const all = [...new Set(times)].sort((a, b) => a - b)
    if (all.length > 1) return Math.min(...all.slice(1).map((t, i) => t - all[i]))
  }
}

// legendHeight returns the pixels that the names of all series need, within reason.
function legendHeight(panel, series) {
  const names = series.reduce((n, s) => n + (s.split ? new Set(s.data.map(d => d.g)).size : 1), 0)
  const perRow = panel.w > 30 ? 4 : 2
  return Math.min(Math.ceil(names / perRow), 4) * 25 + 6
}

// seriesOf returns what a layer draws: points for each of its numbers along its last bucket,
// split by the bucket before that.
function seriesOf(layer, n, layers) {
  const x = layer.columns.findLastIndex(c => c.bucket)
  const split = x > 0
  const metrics = layer.columns.flatMap((c, j) => c.bucket ? [] : [j])
  const timed = layer.rows.some(row => row[x]?.time !== undefined)
  return metrics.map(j => {
    const { name, unit, color, right } = layer.columns[j]
    return {
      id: n + '-' + j, type: layer.series, unit, split, timed, axis: right ? 'right' : 'left',
      color: split ? undefined : color,
      name: split ? key => key.splitAccessors.get('g') + (metrics.length * layers.length > 1 ? ' › ' + name : '') : name,
      data: layer.rows.filter(row => row[j] !== null).map(row => ({ x: row[x].time ?? show(row[x]), y: row[j], g: split ? show(row[0]) : undefined })),
    }
  })
}

function Heat({ panel }) {
  const [{ columns, rows }] = panel.layers
  const unit = columns[2].unit
  const data = rows.filter(row => row[2] !== null).map(row => ({ y: show(row[0]), x: row[1].time, value: row[2] }))
  const highest = Math.max(...data.map(d => d.value), Number.MIN_VALUE)
  const steps = ['#FBE3DD', '#F5BFB3', '#EC9A8A', '#E17463', '#CC5642']
  return <div className="chart"><Chart size={sizeOf(panel)}>
    <Settings baseTheme={LIGHT_THEME} theme={{ heatmap: { grid: { stroke: { width: 1, color: '#fff' } }, cell: { label: { visible: false }, border: { stroke: 'transparent' } }, xAxisLabel: { fontSize: 11, padding: 2 }, yAxisLabel: { fontSize: 11 } } }}
      showLegend legendPosition={Position.Right} legendSize={110} />
    <Heatmap id="heat" data={data} xAccessor="x" yAccessor="y" valueAccessor="value" valueFormatter={v => show(v, unit)} xAxisLabelFormatter={clock}
      xScale={{ type: ScaleType.Time, interval: { type: 'fixed', unit: 'ms', value: bucketLength(panel) } }} ySortPredicate="alphaAsc"
      colorScale={{ type: 'bands', bands: steps.map((color, i) => ({ start: highest * i / 5, end: i === 4 ? Infinity : highest * (i + 1) / 5, color })) }} />
  </Chart></div>
}

createRoot(document.getElementById('page')).render(<Page {...window.drawing} />)
