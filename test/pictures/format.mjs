// Values as Kibana's formatters show them.

const binary = ['B', 'KB', 'MB', 'GB', 'TB']

function bytes(n) {
  let i = 0
  for (; Math.abs(n) >= 1024 && i < binary.length - 1; i++) n /= 1024
  return round(n, 1) + binary[i]
}

// round shows at most so many decimals.
function round(n, decimals) {
  return n.toLocaleString('en-US', { maximumFractionDigits: decimals })
}

// clock returns the time of day.
export function clock(ms) {
  return new Date(ms).toISOString().slice(11, 19)
}

// tick returns a number of a unit on an axis, where there may be parts of pieces.
export function tick(value, unit) {
  return unit === 'count' ? round(value, 1) : show(value, unit)
}

// show returns a value of a unit as text; missing ones as a dash.
export function show(value, unit) {
  if (value === null || value === undefined || value === '') return '-'
  if (value.time !== undefined) return clock(value.time)
  if (typeof value !== 'number') return String(value)
  switch (unit) {
    case 'bytes': return bytes(value)
    case 'bytes/s': return bytes(value) + '/s'
    case 'ratio': return round(value * 100, 1) + '%'
    case '1/s': return round(value, 1) + '/s'
    case 'cores': return round(value, 3) + ' cores'
    case 's': return round(value, 3) + ' s'
    case 'days': return round(value, 1) + ' days'
    case 'load': return round(value, 2)
    case 'count': return round(value, 0)
  }
  return String(value)
}
