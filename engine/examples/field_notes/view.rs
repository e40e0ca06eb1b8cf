//! The screen: drawn from the app's state alone.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Position, Rect},
    style::{Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Clear, List, ListItem, ListState, Paragraph, Wrap},
};

use crate::{
    clock,
    editor::{Editor, Field},
    keys::HELP,
    slices::Note,
    state::{App, Focus, Link, text_of},
    wrap::{columns, wrap},
};

/// Narrower than this, list and note take turns.
const BOTH: u16 = 60;

const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

pub(crate) fn draw(frame: &mut Frame<'_>, app: &App) {
    let area = frame.area();
    if area.width < 20 || area.height < 6 {
        return frame.render_widget(Paragraph::new("field notes: this window is too small"), area);
    }
    let [main, status, hint] =
        Layout::vertical([Constraint::Min(0), Constraint::Length(1), Constraint::Length(1)]).areas(area);
    let writing = matches!(app.focus, Focus::Edit(_));
    if main.width >= BOTH {
        let list = (main.width / 3).clamp(24, 40);
        let [left, right] = Layout::horizontal([Constraint::Length(list), Constraint::Min(0)]).areas(main);
        draw_list(frame, app, left);
        draw_note(frame, app, right);
    } else if writing {
        draw_note(frame, app, main);
    } else {
        draw_list(frame, app, main);
    }
    frame.render_widget(Line::styled(status_line(app), Modifier::REVERSED).style(Modifier::REVERSED), status);
    frame.render_widget(Line::styled(hint_line(app), DIM), hint);
    if app.focus == Focus::Help {
        draw_help(frame, app, area);
    }
}

fn draw_list(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let rows = app.rows();
    let title = match (&app.focus, app.search.is_empty()) {
        (Focus::Search, _) => format!(" /{} ", app.search),
        (_, false) => format!(" {} for /{} ", rows.len(), app.search),
        _ => format!(" {} note{} ", rows.len(), if rows.len() == 1 { "" } else { "s" }),
    };
    let tags: Vec<String> =
        app.held.overview.tags.iter().map(|(tag, count)| format!("#{tag} {count}")).collect();
    let tags = if tags.is_empty() { String::new() } else { format!(" {} ", tags.join("  ")) };
    let block = Block::bordered().title(title).title_bottom(Line::styled(tags, DIM));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    if rows.is_empty() {
        let hint = if app.search.is_empty() { "No notes yet: n makes one." } else { "No note has this." };
        return frame.render_widget(Paragraph::new(hint).style(DIM).wrap(Wrap { trim: true }), inner);
    }
    let items = rows.iter().map(|(id, note)| ListItem::new(row_line(app, id, note)));
    let chosen = if app.focus == Focus::List { Modifier::REVERSED } else { Modifier::BOLD };
    let list = List::new(items).highlight_style(chosen);
    let mut state = ListState::default().with_selected(Some(app.row(&rows)));
    frame.render_stateful_widget(list, inner, &mut state);
}

fn row_line<'a>(app: &App, id: &str, note: &'a Note) -> Line<'a> {
    let met = app.held.met.iter().any(|met| met.id == id);
    let mark = match note {
        _ if met => "≠ ",
        Note { archived: true, .. } => "- ",
        Note { pinned: true, .. } => "* ",
        _ => "  ",
    };
    let style = if note.archived { DIM } else { Style::new() };
    let date = clock::date(note.created).get(5..).unwrap_or_default().to_owned();
    Line::from(vec![
        Span::raw(mark),
        Span::styled(date, DIM),
        Span::raw(" "),
        Span::styled(&*note.title, style),
    ])
}

fn draw_note(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let editor = match &app.focus {
        Focus::Edit(editor) => Some(editor),
        _ => None,
    };
    let block = Block::bordered();
    let inner = block.inner(area);
    frame.render_widget(block, area);
    // In a low window the field that is written in has all of it.
    if let Some(editor) = editor.filter(|_| inner.height < 7) {
        return draw_editor(frame, editor, inner);
    }
    let Some((id, note)) = app.current() else { return };
    let met = app.held.met.iter().find(|met| met.id == id);
    let heights = [1, 1, 1, u16::from(met.is_some()), 1].map(Constraint::Length);
    let [title, place, tags, other, gap, body] =
        Layout::vertical(heights.into_iter().chain([Constraint::Min(0)])).areas(inner);
    frame.render_widget(Line::styled("─".repeat(gap.width.into()), DIM), gap);
    if let Some(met) = met {
        let text = format!("≠ x takes the other {}", met.other);
        frame.render_widget(Line::styled(text, Modifier::REVERSED), other);
    }
    let by = if note.author.is_empty() { String::new() } else { format!(" by {}", note.author) };
    let when = format!("{} {} UTC{by}  at: ", clock::date(note.created), clock::time_of_day(note.created));
    for (field, label, area, style) in [
        (Field::Title, String::new(), title, BOLD),
        (Field::Place, when, place, DIM),
        (Field::Tags, "tags: ".to_owned(), tags, DIM),
        (Field::Body, String::new(), body, Style::new()),
    ] {
        let label_width = u16::try_from(Span::raw(&label).width()).unwrap_or(u16::MAX).min(area.width);
        let [left, right] =
            Layout::horizontal([Constraint::Length(label_width), Constraint::Min(0)]).areas(area);
        frame.render_widget(Line::styled(label, DIM), left);
        match editor.filter(|editor| editor.field == field) {
            Some(editor) => draw_editor(frame, editor, right),
            None => draw_text(frame, &text_of(note, field), (style, 0), right),
        }
    }
}

/// A text from one of its lines on.
fn draw_text(frame: &mut Frame<'_>, text: &str, (style, from): (Style, usize), area: Rect) {
    let lines = wrap(text, area.width).into_iter().skip(from).take(area.height.into());
    let lines: Vec<Line<'_>> = lines.map(|line| Line::styled(line.text, style)).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

/// The text that is edited, scrolled so that the caret is in sight.
fn draw_editor(frame: &mut Frame<'_>, editor: &Editor, area: Rect) {
    if area.is_empty() {
        return;
    }
    let lines = wrap(&editor.text, area.width);
    let row = lines.iter().rposition(|line| line.start <= editor.caret).unwrap_or(0);
    let from = (row + 1).saturating_sub(area.height.into());
    draw_text(frame, &editor.text, (Style::new(), from), area);
    let before = lines.get(row).map_or(0, |line| {
        line.text.chars().take(editor.caret - line.start).map(|c| usize::from(columns(c))).sum()
    });
    let x = u16::try_from(before).unwrap_or(u16::MAX).min(area.width - 1);
    let y = u16::try_from(row - from).unwrap_or(u16::MAX).min(area.height - 1);
    frame.set_cursor_position(Position::new(area.x + x, area.y + y));
}

pub(crate) fn status_line(app: &App) -> String {
    let who = app.about.author.as_deref().unwrap_or("no author");
    let server = app.about.server.as_deref().unwrap_or_default();
    let waiting = match app.held.waiting {
        0 => String::new(),
        n => format!(" · {n} waiting"),
    };
    let link = match &app.link {
        Link::Alone => "kept on this device, no server".to_owned(),
        Link::Trying => format!("connecting to {server}"),
        Link::InStep if app.held.waiting == 0 => format!("in step with {server}"),
        Link::InStep => format!("sending to {server}"),
        Link::Offline { since, .. } => format!("offline since {since} UTC, {server}"),
        Link::Trouble(why) => why.clone(),
    };
    let parked = match app.held.parked {
        0 => String::new(),
        n => format!(" · {n} refused for good: see `rejoin queue`"),
    };
    format!(" {who} · {link}{waiting}{parked}")
}

fn hint_line(app: &App) -> String {
    let usual = match &app.focus {
        Focus::Edit(editor) if editor.field == Field::Body => "esc: list  tab: tags  ctrl-z: undo",
        Focus::Edit(_) => "enter: done  tab: next  esc: list",
        Focus::Search => "enter: choose  esc: end the search",
        Focus::Help => "any key: back",
        Focus::List => "?: help  n: new  enter: write  /: search  u: undo  q: quit",
    };
    if app.notice.is_empty() { usual.to_owned() } else { app.notice.clone() }
}

fn draw_help(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let keys = HELP.iter().map(|(key, does)| Line::raw(format!("{key:>10}  {does}")));
    let share = [Line::styled("To take part, a friend types:", BOLD), Line::raw(app.about.share.as_str())];
    let mut lines: Vec<Line<'_>> = share.into_iter().chain([Line::raw("")]).chain(keys).collect();
    if let Link::Offline { why, .. } = &app.link {
        lines.push(Line::styled(format!("Offline, nothing is lost: {why}"), DIM));
    }
    let widest = app.about.share.chars().count().saturating_add(2).max(64);
    let width = area.width.min(u16::try_from(widest).unwrap_or(u16::MAX));
    let height = area.height.min(u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(5));
    let [middle] =
        Layout::horizontal([Constraint::Length(width)]).flex(ratatui::layout::Flex::Center).areas(area);
    let [window] =
        Layout::vertical([Constraint::Length(height)]).flex(ratatui::layout::Flex::Center).areas(middle);
    frame.render_widget(Clear, window);
    let text = Paragraph::new(lines).wrap(Wrap { trim: false });
    frame.render_widget(text.block(Block::bordered().title(" field notes ")), window);
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;
    use crate::update::tests::app_with;

    #[test]
    fn no_size_of_the_window_makes_it_panic() {
        let long = "an endless heron \u{7}\t渡り鳥 ".repeat(40);
        let editors = [Field::Title, Field::Body, Field::Tags, Field::Place]
            .map(|field| Focus::Edit(Editor::new("a", field, &long)));
        for focus in editors.into_iter().chain([Focus::List, Focus::Search, Focus::Help]) {
            let mut app = app_with(&[("a", "Heron"), ("b", "")]);
            app.focus = focus;
            for (width, height) in (1..90).flat_map(|width| (1..24).map(move |height| (width, height))) {
                let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
                terminal.draw(|frame| draw(frame, &app)).unwrap();
            }
        }
    }
}
