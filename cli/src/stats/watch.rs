//! `duramen stats --watch`: a dashboard in the terminal.
//!
//! # Invariant
//!
//! However it ends, by a key, a signal or an error, the terminal is as it was before.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, Instant};

use duramen::inspect::count;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Sparkline};

use super::seen::{Seen, look};
use super::text::{disk, last_steps, process, short, size};
use crate::error::{Error, name_of, one_line};
use crate::signals;

/// How often the figures are read.
const EVERY: Duration = Duration::from_millis(500);
/// How many values a line shows at most.
const HISTORY: usize = 400;

/// Shows the figures until q, Ctrl-C or a signal.
pub(super) fn run(dir: &Path) -> Result<(), Error> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Error::Usage(
            "--watch needs a terminal; --json and --prometheus do not".into(),
        ));
    }
    // Before the terminal is changed: a store without figures is an error like any other.
    let first = look(dir)?;
    signals::finish_first();
    let shown = ratatui::try_init().and_then(|mut terminal| {
        let mut view = View::new(dir, first);
        loop {
            terminal.draw(|frame| view.draw(frame))?;
            if ended(EVERY)? {
                return Ok(());
            }
            view.see(look(dir));
        }
    });
    ratatui::restore();
    signals::nothing_to_finish();
    shown.map_err(|source| Error::Write { name: "the terminal".to_owned(), source })
}

/// Waits for `longest`. Returns whether the user has ended it meanwhile.
fn ended(longest: Duration) -> io::Result<bool> {
    let begun = Instant::now();
    loop {
        if signals::asked().is_some() {
            return Ok(true);
        }
        let rest = longest.saturating_sub(begun.elapsed());
        match event::poll(rest.min(Duration::from_millis(100))) {
            Ok(true) => match event::read()? {
                Event::Key(key) if ends(key) => return Ok(true),
                // It is drawn again at once.
                Event::Resize(..) => return Ok(false),
                _ => {}
            },
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if rest.is_zero() {
            return Ok(false);
        }
    }
}

fn ends(key: KeyEvent) -> bool {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind != KeyEventKind::Release
        && match key.code {
            KeyCode::Char('c') => control,
            KeyCode::Char('q' | 'Q') | KeyCode::Esc => true,
            _ => false,
        }
}

/// The values of one figure over time.
#[derive(Default)]
struct Series(VecDeque<u64>);

impl Series {
    fn push(&mut self, value: u64) {
        if self.0.len() == HISTORY {
            self.0.pop_front();
        }
        self.0.push_back(value);
    }

    fn last(&self) -> u64 {
        self.0.back().copied().unwrap_or_default()
    }

    /// The last values that fit.
    fn tail(&self, width: u16) -> Vec<u64> {
        let skipped = self.0.len().saturating_sub(usize::from(width));
        self.0.iter().skip(skipped).copied().collect()
    }
}

/// What is shown.
struct View {
    dir: String,
    seen: Seen,
    at: Instant,
    /// Why the figures could not be read last.
    error: Option<String>,
    /// Durable leaves a second.
    rate: Series,
    /// Bytes of log a second.
    bytes: Series,
    /// Leaves that are not durable.
    pending: Series,
}

/// By how much a count that only grows has grown in a second.
fn per_second(before: u64, now: u64, took: Duration) -> u64 {
    let nanos = took.as_nanos().max(1);
    let grown = u128::from(now.saturating_sub(before)) * 1_000_000_000 / nanos;
    u64::try_from(grown).unwrap_or(u64::MAX)
}

impl View {
    fn new(dir: &Path, seen: Seen) -> Self {
        let (dir, at) = (name_of(dir), Instant::now());
        let [rate, bytes, pending] = std::array::from_fn(|_| Series::default());
        Self { dir, seen, at, error: None, rate, bytes, pending }
    }

    /// Takes what was read.
    fn see(&mut self, looked: Result<Seen, Error>) {
        let now = match looked {
            Ok(now) => now,
            Err(error) => return self.error = Some(error.in_one_line()),
        };
        let took = self.at.elapsed();
        let (old, new) = (&self.seen.status.stats, &now.status.stats);
        self.rate.push(per_second(old.durable, new.durable, took));
        self.bytes.push(per_second(old.wal_bytes_written, new.wal_bytes_written, took));
        self.pending.push(new.pending);
        (self.seen, self.at, self.error) = (now, Instant::now(), None);
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let rows = [2, 4, 4, 4].map(Constraint::Length);
        let [head, rate, bytes, pending, rest, foot] =
            Layout::vertical(rows.into_iter().chain([Constraint::Min(0), Constraint::Length(1)]))
                .areas(frame.area());
        let state = match (&self.error, self.seen.poison()) {
            (Some(error), _) => Line::from(one_line(error)).red(),
            (None, Some(error)) => Line::from(format!("POISONED: {}", one_line(error))).red(),
            (None, None) => Line::from(process(&self.seen)),
        };
        let title = Line::from(format!("duramen {}", self.dir)).bold();
        frame.render_widget(Paragraph::new(vec![title, state]), head);
        let title = format!("durable leaves a second: {}", self.rate.last());
        draw_series(frame, rate, &title, &self.rate, Style::new().green());
        let title = format!("log a second: {}", size(self.bytes.last()));
        draw_series(frame, bytes, &title, &self.bytes, Style::new().blue());
        let title = format!("leaves that are not durable: {}", self.pending.last());
        draw_series(frame, pending, &title, &self.pending, Style::new().yellow());
        let lines: Vec<Line<'_>> = self.lines().into_iter().map(Line::from).collect();
        frame.render_widget(Paragraph::new(lines), rest);
        frame.render_widget(Paragraph::new("q or Ctrl-C ends").dim(), foot);
    }

    fn lines(&self) -> Vec<String> {
        let (status, stats) = (&self.seen.status, &self.seen.status.stats);
        let nanos = |nanos| short(Duration::from_nanos(nanos));
        let mut lines = vec![
            format!(
                "leaves       {} visible, {} durable, {} checkpointed",
                stats.leaves, stats.durable, status.checkpointed
            ),
            format!(
                "syncs        {}, p50 {}, p99 {}, longest {}",
                stats.syncs,
                nanos(stats.sync_nanos.p50),
                nanos(stats.sync_nanos.p99),
                nanos(stats.sync_nanos.max)
            ),
            format!(
                "checkpoints  {}, {} failed; {}, {} failed; {}",
                stats.checkpoints,
                stats.failed_checkpoints,
                count(stats.compactions, "merge", "merges"),
                stats.failed_compactions,
                count(stats.parts, "part", "parts")
            ),
            format!("steps  {}", last_steps(&stats.checkpoint_jobs)),
            format!(
                "inserts      {} stalled, {} slowed down, {} refused",
                stats.stalls, stats.slowdowns, stats.refused
            ),
            format!(
                "memory       {}, {} not checkpointed",
                size(stats.memory_bytes),
                size(stats.uncheckpointed_bytes)
            ),
        ];
        if let Some(space) = disk(&self.seen).trim_end().strip_prefix("disk ") {
            lines.push(format!("disk         {space}"));
        }
        lines.extend(status.trees.iter().map(|tree| {
            format!(
                "tree         {}: {}, {}",
                one_line(tree.tree.as_str()),
                count(tree.size.get(), "leaf", "leaves"),
                count(tree.parts, "part", "parts")
            )
        }));
        lines
    }
}

fn draw_series(frame: &mut Frame<'_>, area: Rect, title: &str, series: &Series, style: Style) {
    let [top, line] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    frame.render_widget(Paragraph::new(title), top);
    let values = series.tail(line.width);
    frame.render_widget(Sparkline::default().data(&values).style(style), line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use duramen::{Accumulator, Blake3, Config};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Cell;

    fn shown(view: &View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let rows = buffer.content.chunks(usize::from(width));
        rows.map(|row| row.iter().map(Cell::symbol).collect::<String>() + "\n").collect()
    }

    #[test]
    fn everything_fits_a_terminal_of_80_columns_and_no_size_is_too_small() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::new(dir.path().join("store")).status_file(true);
        let log: Accumulator<Blake3, 4> = Accumulator::open(config).unwrap();
        log.insert_durable([7; 32]).unwrap();
        let mut view = View::new(Path::new("store"), look(&dir.path().join("store")).unwrap());
        log.close().unwrap();
        view.see(look(&dir.path().join("store")));
        let text = shown(&view, 80, 24);
        for part in
            ["closed", "leaves       1 visible, 1 durable", "disk  ", "q or Ctrl-C ends", "tree  "]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        view.see(Err(Error::Usage("gone".to_owned())));
        assert!(shown(&view, 80, 24).contains("gone"));
        for (width, height) in [(1, 1), (10, 3), (300, 100)] {
            shown(&view, width, height);
        }
    }

    #[test]
    fn a_rate_is_that_of_a_second_and_never_negative() {
        assert_eq!(per_second(10, 20, Duration::from_millis(500)), 20);
        assert_eq!(per_second(20, 10, Duration::from_secs(1)), 0);
        assert_eq!(per_second(0, u64::MAX, Duration::ZERO), u64::MAX);
    }
}
