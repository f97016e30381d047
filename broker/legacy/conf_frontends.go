package legacy

// reportFrontends says which doors of the old broker this one has.
func (r *confReader) reportFrontends(c *Conf) {
	if c.PlainOutput.V {
		r.same(c.PlainOutput.At, "/plain/ is always there")
	} else {
		r.report.loss(c.PlainOutput.At, "x2broker always answers on /plain/", "refuse that path in a proxy in front, if it must not be there")
	}
	if c.JSONOutput.V {
		r.report.note(c.JSONOutput.At, "this x2broker has no /json/, which PyHoca and Python X2Go ask", "let those users use X2Go Client")
	} else {
		r.same(c.JSONOutput.At, "there is no /json/")
	}
	if c.UCCSOutput.V {
		r.report.loss(c.UCCSOutput.At, "this x2broker has no /uccs/, which greeters ask", "let those users log in with X2Go Client")
	} else {
		r.same(c.UCCSOutput.At, "there is no /uccs/")
	}
	r.note(c.UCCSBase.At, "this x2broker has no /uccs/", "")
}
