package main

import (
	"bytes"
	"image/color"
	"os"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	_ "gonum.org/v1/plot/vg/vgsvg" // plots are saved as SVG
)

var (
	blue   = color.RGBA{0x1f, 0x6f, 0xb4, 0xff}
	orange = color.RGBA{0xe0, 0x7b, 0x1a, 0xff}
)

const plotWidth, plotHeight = 18 * vg.Centimeter, 10 * vg.Centimeter

// newPlot is an empty one.
func newPlot(title string) *plot.Plot {
	p := plot.New()
	p.X.Tick.Marker, p.Y.Tick.Marker = wholeTicks{}, wholeTicks{}
	p.Title.Text, p.Title.Padding = title, vg.Points(8)
	for _, style := range []*text.Style{
		&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle,
	} {
		style.Font.Variant, style.Font.Size = "Sans", vg.Points(10)
	}
	p.Legend.Top = true
	p.Legend.Padding = vg.Points(3)
	return p
}

// wholeTicks are the usual ones, without decimals that say nothing.
type wholeTicks struct{}

func (wholeTicks) Ticks(from, to float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(from, to)
	for n := range ticks {
		if ticks[n].Label != "" {
			ticks[n].Label = strconv.FormatFloat(ticks[n].Value, 'f', -1, 64)
		}
	}
	return ticks
}

// draw writes a plot to a file, with fonts that every machine has one of.
func draw(p *plot.Plot, file string) error {
	drawn, err := p.WriterTo(plotWidth, plotHeight, "svg")
	if err != nil {
		return err
	}
	var svg bytes.Buffer
	if _, err := drawn.WriteTo(&svg); err != nil {
		return err
	}
	content := bytes.ReplaceAll(svg.Bytes(), []byte("font-family:Liberation Sans;"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;"))
	return os.WriteFile(file, content, 0o644) //nolint:gosec // it is for everybody
}

// plotCurve draws how long sends take at more and more messages a second.
func plotCurve(points []figures, file string) error {
	p := newPlot("How long a send takes, until it is acknowledged")
	p.X.Label.Text = "messages a second, offered"
	p.Y.Label.Text = "milliseconds"
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Legend.Left = true
	p.Add(plotter.NewGrid())
	for _, of := range []struct {
		name   string
		colour color.Color
		figure func(figures) float64
	}{{"p50", blue, p50}, {"p99", orange, p99}} {
		var line plotter.XYs
		for _, point := range points {
			line = append(line, plotter.XY{X: point.Offered, Y: max(0.01, of.figure(point))})
		}
		drawn, dots, err := plotter.NewLinePoints(line)
		if err != nil {
			return err
		}
		drawn.Color, dots.Color = of.colour, of.colour
		drawn.Width = vg.Points(1.5)
		p.Add(drawn, dots)
		p.Legend.Add(of.name, drawn, dots)
	}
	p.X.Min = 0
	return draw(p, file)
}

// plotGrowth draws what operations cost at different sizes: for each operation its sizes side by side, each a bar of the
// server's CPU time with that of Postgres on top.
func plotGrowth(g growth, file string) error {
	p := newPlot(g.Title)
	p.Y.Label.Text = "microseconds of CPU"
	var names []string
	for _, cost := range g.Costs {
		if !slices.Contains(names, cost.Of) {
			names = append(names, cost.Of)
		}
	}
	// Those of one operation stand together.
	var server, database plotter.Values
	var labels []string
	highest := 1.0
	for _, name := range names {
		for _, cost := range g.Costs {
			if cost.Of == name {
				server, database = append(server, max(0, cost.ServerCPU)), append(database, max(0, cost.PostgresCPU))
				labels = append(labels, cost.Of+"\n"+cost.At)
				highest = max(highest, cost.ServerCPU+cost.PostgresCPU)
			}
		}
	}
	width := vg.Points(300 / float64(len(labels)+2))
	lower, err := plotter.NewBarChart(server, width)
	if err != nil {
		return err
	}
	upper, err := plotter.NewBarChart(database, width)
	if err != nil {
		return err
	}
	lower.Color, upper.Color = blue, orange
	lower.LineStyle.Width, upper.LineStyle.Width = 0, 0
	upper.StackOn(lower)
	p.Add(lower, upper)
	p.Legend.Add("Postgres", upper)
	p.Legend.Add("server", lower)
	p.NominalX(labels...)
	p.X.Tick.Label.Font.Size = vg.Points(8)
	p.X.Min, p.X.Max = -0.5, float64(len(labels))-0.5
	p.Y.Min, p.Y.Max = 0, 1.25*highest // the legend is above the bars
	return draw(p, file)
}
