package metric

// Aliases returns cAdvisor's other names of a container, none for a cgroup of no runtime: the
// name and the id; for containerd, which has no names of its own, the id and the cgroup path.
func (c *Container) Aliases() []string {
	switch {
	case c.ID == "":
		return nil
	case c.Runtime == "containerd" && (c.Name == "" || c.Name == c.ID):
		return []string{c.ID, c.Path}
	case c.Name == "":
		return []string{c.ID}
	}
	return []string{c.Name, c.ID}
}
