package kibana

// Place returns where the panel lies in the dashboard's grid of 48 columns: its left upper
// corner and its size.
func (p *Panel) Place() (x, y, width, height int) { return p.x, p.y, p.width, p.height }
