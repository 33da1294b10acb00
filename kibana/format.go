package kibana

// Unit is the unit of a number, which says how it is shown, too.
type Unit string

// The units of panels.
const (
	None           Unit = "" // what isn't a quantity
	Pieces         Unit = "count"
	EachSecond     Unit = "1/s"
	Cores          Unit = "cores"
	Bytes          Unit = "bytes"
	BytesPerSecond Unit = "bytes/s"
	Ratio          Unit = "ratio" // 1 is shown as 100 %
	Seconds        Unit = "s"
	Days           Unit = "days"
	Load           Unit = "load" // tasks, averaged
)

// format returns Lens' description of how a number of the unit is shown, nil for None.
func (u Unit) format() any {
	id, decimals, suffix := "number", 0, ""
	switch u {
	case None:
		return nil
	case EachSecond:
		decimals, suffix = 1, "/s"
	case Cores:
		decimals, suffix = 3, " cores"
	case Bytes:
		id, decimals = "bytes", 1
	case BytesPerSecond:
		id, decimals, suffix = "bytes", 1, "/s"
	case Ratio:
		id, decimals = "percent", 1
	case Seconds:
		decimals, suffix = 3, " s"
	case Days:
		decimals, suffix = 1, " days"
	case Load:
		decimals = 2
	}
	params := object{"decimals": decimals}
	if suffix != "" {
		params["suffix"] = suffix
	}
	return object{"id": id, "params": params}
}
