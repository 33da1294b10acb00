// Where things are: Kibana's grid of 48 columns, whose rows are 20 pixels high, with gaps of
// 8 between panels.

export const width = 1200 // pixels of a picture
export const heading = 76 // pixels above the panels

const columns = 48
const gap = 8
const row = 20 + gap

// boxOf returns the rectangle of a panel in pixels, below the heading.
export function boxOf({ x, y, w, h }) {
  const column = (width - gap) / columns
  return { left: gap + x * column, top: y * row, width: w * column - gap, height: h * row - gap }
}

// heightOf returns the height of a dashboard's picture in pixels.
export function heightOf(dashboard) {
  return heading + Math.max(...dashboard.panels.map(p => p.y + p.h)) * row
}
