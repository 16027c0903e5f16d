#![allow(clippy::unwrap_used, clippy::allow_attributes)]
use super::*;
use crate::map::{Table, standard};
use leadwire_connector::Event;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write;
use tempfile::TempDir;

const MINUTE: Duration = Duration::from_secs(60);

/// 2026-11-22T10:15:00Z and so many seconds.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_342_500 + seconds).unwrap()
}

fn row(id: &str, content: &str) -> Row {
    let event: Event = serde_json::from_value(json!({
        "id": "0199f3c2-0000-7000-8000-000000000001", "kind": "lead", "source": "acme", "chatbot_id": null,
        "person": {"first_name": null, "last_name": null, "email": null, "phone": null}, "content": content,
        "session_id": null, "page_url": null, "created_at": null, "received_at": "2026-11-22T05:17:00Z", "extra": {}, "raw": {}
    }))
    .unwrap();
    table().row(&event, id).unwrap()
}

fn table() -> Table {
    Table::new(vec![standard("content").unwrap()], b',', false).unwrap()
}

fn plan(directory: &TempDir, rotation: Rotation) -> Plan {
    Plan { directory: directory.path().to_owned(), header: table().header().unwrap(), rotation, outbox: None }
}

fn files(rows: u64) -> Rotation {
    Rotation::Files { rows, age: MINUTE }
}

fn open(directory: &TempDir, rotation: Rotation, seconds: i64) -> Folder {
    Folder::open(plan(directory, rotation), at(seconds)).unwrap()
}

/// Name and text of every file in sight.
fn seen(directory: &Path) -> Vec<(String, String)> {
    let paths = listed(directory, |_| true).unwrap();
    paths.iter().map(|path| (file_name(path), fs::read_to_string(path).unwrap())).collect()
}

fn texts(directory: &TempDir) -> Vec<String> {
    seen(directory.path()).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn a_file_appears_when_it_has_its_rows_and_not_before() {
    let directory = TempDir::new().unwrap();
    let mut folder = open(&directory, files(2), 0);
    let first = folder.append(&[row("1", "a")], at(0)).unwrap();
    folder.tidy(at(1)).unwrap();
    assert!(seen(directory.path()).is_empty());
    folder.append(&[row("2", "b")], at(1)).unwrap();
    folder.tidy(at(1)).unwrap();
    let expected = ("leads-2026-11-22T101500Z-000001.csv".to_owned(), "content,delivery_id\na,1\nb,2\n".to_owned());
    assert_eq!(first, [Some(expected.0.clone())]);
    assert_eq!(seen(directory.path()), [expected]);
    assert_eq!(folder.due_in(at(1)), None);
}

#[test]
fn names_sort_in_the_order_of_writing_also_over_restarts_within_one_second() {
    let directory = TempDir::new().unwrap();
    let mut written = Vec::new();
    for run in 0..4 {
        let mut folder = open(&directory, files(1), run / 3);
        for number in 0..3 {
            let id = format!("{run}-{number}");
            written.extend(folder.append(&[row(&id, &id)], at(run / 3)).unwrap());
            folder.tidy(at(run / 3)).unwrap();
        }
        drop(folder);
        if run == 1 {
            // Somebody picks files up as soon as they appear.
            seen(directory.path()).iter().for_each(|(name, _)| fs::remove_file(directory.path().join(name)).unwrap());
        }
    }
    let written: Vec<String> = written.into_iter().flatten().collect();
    assert_eq!((written.len(), written.is_sorted_by(|first, second| first < second)), (12, true), "{written:?}");
    assert_eq!(written[9], "leads-2026-11-22T101501Z-000001.csv", "each second counts anew");
}

#[test]
fn a_file_appears_when_its_first_row_is_old_enough() {
    let directory = TempDir::new().unwrap();
    let mut folder = open(&directory, files(10), 0);
    folder.append(&[row("1", "a")], at(0)).unwrap();
    assert_eq!(folder.due_in(at(20)), Some(Duration::from_secs(40)));
    folder.tidy(at(59)).unwrap();
    assert!(seen(directory.path()).is_empty());
    folder.tidy(at(60)).unwrap();
    assert_eq!(texts(&directory), ["content,delivery_id\na,1\n"]);
}

#[test]
fn an_unfinished_file_is_gone_on_with_after_a_restart_until_its_age() {
    let directory = TempDir::new().unwrap();
    open(&directory, files(10), 0).append(&[row("1", "a")], at(0)).unwrap();
    let mut folder = open(&directory, files(10), 30);
    folder.append(&[row("2", "b"), row("1", "a")], at(30)).unwrap();
    assert_eq!(folder.due_in(at(30)), Some(Duration::from_secs(30)));
    drop(folder);
    open(&directory, files(10), 61);
    assert_eq!(texts(&directory), ["content,delivery_id\na,1\nb,2\n"]);
}

#[test]
fn a_delivery_has_one_row_however_often_it_comes() {
    let directory = TempDir::new().unwrap();
    let mut folder = open(&directory, files(2), 0);
    let answered = folder.append(&[row("1", "a"), row("1", "a")], at(0)).unwrap();
    assert!(answered.iter().all(Option::is_some));
    folder.append(&[row("2", "b")], at(0)).unwrap();
    folder.tidy(at(0)).unwrap();
    assert_eq!(folder.append(&[row("1", "a")], at(1)).unwrap(), [None]);
    drop(folder);
    for (name, _) in seen(directory.path()) {
        fs::remove_file(directory.path().join(name)).unwrap();
    }
    let mut folder = open(&directory, files(2), 2);
    assert_eq!(folder.append(&[row("2", "b"), row("1", "a")], at(2)).unwrap(), [None, None]);
    folder.tidy(at(120)).unwrap();
    assert!(seen(directory.path()).is_empty());
}

/// Every way a power failure can leave the end of the file: cut at any byte, or with zeros from there on.
fn crash_everywhere(rotation: Rotation, hidden: bool) {
    let last = row("2", "she said \"no,\n\nreally\"\n");
    let template = TempDir::new().unwrap();
    let mut folder = open(&template, rotation, 0);
    folder.append(&[row("1", "a")], at(0)).unwrap();
    drop(folder);
    let place = |directory: &TempDir| if hidden { directory.path().join(HIDDEN) } else { directory.path().to_owned() };
    let path = listed(&place(&template), |_| true).unwrap().remove(0);
    let before = fs::read(&path).unwrap();
    for cut in 0..=last.csv.len() {
        for zeros in [false, true] {
            let directory = TempDir::new().unwrap();
            fs::create_dir_all(place(&directory)).unwrap();
            let mut bytes = [&before[..], &last.csv[..cut]].concat();
            if zeros {
                bytes.resize(before.len() + last.csv.len(), 0);
            }
            fs::write(place(&directory).join(path.file_name().unwrap()), bytes).unwrap();
            let mut folder = open(&directory, rotation, 1);
            folder.append(&[last.clone(), row("1", "a")], at(2)).unwrap();
            folder.tidy(at(70)).unwrap();
            let expected = String::from_utf8([&before[..], &last.csv].concat()).unwrap();
            assert_eq!(texts(&directory), [expected], "cut at {cut}, zeros: {zeros}");
        }
    }
}

#[test]
fn a_crash_at_any_byte_leaves_neither_half_a_row_nor_two() {
    crash_everywhere(files(10), true);
    crash_everywhere(Rotation::Daily, false);
}

#[test]
fn a_crash_in_the_header_leaves_one_header() {
    let header = table().header().unwrap();
    for cut in 0..header.len() {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("leads-2026-11-22.csv"), &header[..cut]).unwrap();
        open(&directory, Rotation::Daily, 0).append(&[row("1", "a")], at(0)).unwrap();
        assert_eq!(texts(&directory), ["content,delivery_id\na,1\n"], "cut at {cut}");
        let directory = TempDir::new().unwrap();
        fs::create_dir(directory.path().join(HIDDEN)).unwrap();
        fs::write(directory.path().join(HIDDEN).join("leads-2026-11-22T101500Z-000001.csv"), &header[..cut]).unwrap();
        open(&directory, files(1), 0).append(&[row("1", "a")], at(0)).unwrap();
        open(&directory, files(1), 0);
        assert_eq!(texts(&directory), ["content,delivery_id\na,1\n"], "cut at {cut}");
    }
}

#[test]
fn a_crash_between_the_index_and_the_rename_makes_no_second_row() {
    let directory = TempDir::new().unwrap();
    let mut folder = open(&directory, files(10), 0);
    folder.append(&[row("1", "a")], at(0)).unwrap();
    let ids: Vec<_> = folder.part.as_ref().unwrap().ids.iter().copied().collect();
    folder.index.add(at(0), ids).unwrap();
    drop(folder);
    let mut folder = open(&directory, files(10), 61);
    folder.append(&[row("1", "a")], at(61)).unwrap();
    assert_eq!(texts(&directory), ["content,delivery_id\na,1\n"]);
}

#[test]
fn what_a_failed_write_left_is_gone_before_the_next_row_and_before_the_file_is_finished() {
    let directory = TempDir::new().unwrap();
    let mut folder = open(&directory, files(10), 0);
    folder.append(&[row("1", "a")], at(0)).unwrap();
    folder.part.as_mut().unwrap().tear(b"half a r");
    folder.append(&[row("2", "b")], at(1)).unwrap();
    folder.part.as_mut().unwrap().tear(b"\"and ano");
    folder.tidy(at(61)).unwrap();
    assert_eq!(texts(&directory), ["content,delivery_id\na,1\nb,2\n"]);
}

#[test]
fn a_finished_file_is_never_written_over() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("leads-2026-11-22T101500Z-000001.csv"), "mine").unwrap();
    let mut folder = open(&directory, files(10), 0);
    folder.append(&[row("1", "a")], at(0)).unwrap();
    fs::write(directory.path().join("leads-2026-11-22T101500Z-000002.csv"), "mine too").unwrap();
    folder.tidy(at(61)).unwrap();
    let names: Vec<_> = seen(directory.path()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 3);
    assert!(texts(&directory).contains(&"content,delivery_id\na,1\n".to_owned()));
    assert!(texts(&directory).contains(&"mine".to_owned()) && texts(&directory).contains(&"mine too".to_owned()));
}

#[test]
fn other_columns_begin_another_file() {
    for rotation in [files(10), Rotation::Daily] {
        let directory = TempDir::new().unwrap();
        open(&directory, rotation, 0).append(&[row("1", "a")], at(0)).unwrap();
        let header = b"text,delivery_id\n".to_vec();
        let mut folder = Folder::open(Plan { header, ..plan(&directory, rotation) }, at(1)).unwrap();
        folder.append(&[row("2", "b"), row("1", "a")], at(1)).unwrap();
        folder.tidy(at(62)).unwrap();
        assert_eq!(texts(&directory).len(), 2);
        assert!(texts(&directory).contains(&"content,delivery_id\na,1\n".to_owned()));
        assert!(texts(&directory).contains(&"text,delivery_id\nb,2\n".to_owned()));
    }
}

#[test]
fn columns_that_change_back_write_no_row_twice() {
    let directory = TempDir::new().unwrap();
    let other = || Plan { header: b"text,delivery_id\n".to_vec(), ..plan(&directory, Rotation::Daily) };
    open(&directory, Rotation::Daily, 0).append(&[row("1", "a")], at(0)).unwrap();
    Folder::open(other(), at(1)).unwrap().append(&[row("2", "b")], at(1)).unwrap();
    let mut folder = open(&directory, Rotation::Daily, 2);
    let answered = folder.append(&[row("2", "b"), row("1", "a"), row("3", "c")], at(2)).unwrap();
    let first = Some("leads-2026-11-22.csv".to_owned());
    assert_eq!(answered, [None, first.clone(), first]);
    assert_eq!(texts(&directory), ["text,delivery_id\nb,2\n", "content,delivery_id\na,1\nc,3\n"]);
}

#[test]
fn a_day_that_ends_without_a_row_since_the_start_is_remembered() {
    const DAY: i64 = 86_400;
    let directory = TempDir::new().unwrap();
    let other = Plan { header: b"text,delivery_id\n".to_vec(), ..plan(&directory, Rotation::Daily) };
    open(&directory, Rotation::Daily, 0).append(&[row("1", "a")], at(0)).unwrap();
    Folder::open(other, at(1)).unwrap().append(&[row("2", "b")], at(1)).unwrap();
    let mut folder = open(&directory, Rotation::Daily, 2);
    assert_eq!(folder.append(&[row("1", "a"), row("2", "b")], at(DAY)).unwrap(), [None, None]);
    assert_eq!(texts(&directory).len(), 2);
}

#[test]
fn a_daily_file_grows_all_day_and_the_next_day_has_its_own() {
    const DAY: i64 = 86_400;
    let directory = TempDir::new().unwrap();
    let mut folder = open(&directory, Rotation::Daily, 0);
    folder.append(&[row("1", "a")], at(0)).unwrap();
    drop(folder);
    let mut folder = open(&directory, Rotation::Daily, 10);
    folder.append(&[row("1", "a"), row("2", "b")], at(10)).unwrap();
    folder.append(&[row("3", "c"), row("2", "b")], at(DAY)).unwrap();
    drop(folder);
    let mut folder = open(&directory, Rotation::Daily, 2 * DAY);
    folder.append(&[row("1", "a"), row("3", "c"), row("4", "d")], at(2 * DAY)).unwrap();
    let names = ["leads-2026-11-22.csv", "leads-2026-11-23.csv", "leads-2026-11-24.csv"];
    let texts = ["content,delivery_id\na,1\nb,2\n", "content,delivery_id\nc,3\n", "content,delivery_id\nd,4\n"];
    let expected: Vec<_> = names.iter().zip(texts).map(|(name, text)| ((*name).to_owned(), text.to_owned())).collect();
    assert_eq!(seen(directory.path()), expected);
}

#[test]
fn a_daily_file_that_a_person_moved_or_edited_takes_no_row_with_it() {
    let directory = TempDir::new().unwrap();
    let elsewhere = TempDir::new().unwrap();
    let today = directory.path().join("leads-2026-11-22.csv");
    let mut folder = open(&directory, Rotation::Daily, 0);
    folder.append(&[row("1", "a")], at(0)).unwrap();
    fs::rename(&today, elsewhere.path().join("mine.csv")).unwrap();
    folder.append(&[row("2", "b"), row("1", "a")], at(1)).unwrap();
    assert_eq!(texts(&directory), ["content,delivery_id\nb,2\n"]);

    fs::write(&today, "content,delivery_id\nmy note\nb,2\n").unwrap();
    folder.append(&[row("3", "c"), row("2", "b")], at(2)).unwrap();
    let expected = ["content,delivery_id\nc,3\n".to_owned(), "content,delivery_id\nmy note\nb,2\n".to_owned()];
    let mut found = texts(&directory);
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn the_mode_can_change_with_a_file_unfinished() {
    let directory = TempDir::new().unwrap();
    open(&directory, files(10), 0).append(&[row("1", "a")], at(0)).unwrap();
    open(&directory, Rotation::Daily, 1).append(&[row("1", "a"), row("2", "b")], at(1)).unwrap();
    let mut folder = open(&directory, files(1), 2);
    folder.append(&[row("2", "b"), row("1", "a")], at(2)).unwrap();
    assert_eq!(texts(&directory), ["content,delivery_id\nb,2\n", "content,delivery_id\na,1\n"]);
}

#[test]
fn a_folder_has_one_owner() {
    let directory = TempDir::new().unwrap();
    let owner = open(&directory, files(10), 0);
    let refused = Folder::open(plan(&directory, files(10)), at(0)).unwrap_err();
    assert!(refused.contains("another destination or another running Leadwire writes into"), "{refused}");
    drop(owner);
    open(&directory, files(10), 0);
}

#[test]
fn a_probe_leaves_nothing_behind() {
    let directory = TempDir::new().unwrap();
    let folder = open(&directory, files(10), 0);
    let before = fs::read_dir(&folder.hidden).unwrap().count();
    assert!(probe(&folder.plan.directory).unwrap().contains("MiB are free"));
    assert_eq!(fs::read_dir(&folder.hidden).unwrap().count(), before);
    assert!(seen(directory.path()).is_empty());
}

#[test]
fn an_obstacle_is_told_in_plain_words() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("drop");
    OpenOptions::new().create(true).write(true).truncate(true).open(&file).unwrap().write_all(b"x").unwrap();
    let told = Folder::open(Plan { directory: file, ..plan(&directory, files(10)) }, at(0)).unwrap_err();
    assert!(told.contains("there is a file where the folder should be"), "{told}");
}

fn ids(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Every byte of every file under the folder.
fn everything(directory: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for folder in [directory.to_owned(), directory.join(HIDDEN)] {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
            all.extend(fs::read(entry.path()).unwrap());
        }
    }
    all
}

fn holds(directory: &TempDir, text: &str) -> bool {
    everything(directory.path()).windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn erased_rows_leave_finished_daily_and_unfinished_files_and_the_others_stay_byte_for_byte() {
    for rotation in [files(2), files(100), Rotation::Daily] {
        let directory = TempDir::new().unwrap();
        let mut folder = open(&directory, rotation, 0);
        for (id, content) in [("1", "Anna, \"A\"\nline"), ("2", "Jane of two\n\nlines"), ("3", "Bert"), ("4", "Jane again")] {
            folder.append(&[row(id, content)], at(0)).unwrap();
            folder.tidy(at(0)).unwrap();
        }
        let found = folder.erase(&ids(&["2", "4", "absent"]), at(1)).unwrap();
        assert_eq!(found.iter().map(|place| (place.delivery.as_str(), place.is_removed)).collect::<Vec<_>>(), [("2", true), ("4", true)]);
        assert!(!holds(&directory, "Jane"), "{rotation:?}");

        // Neither a late attempt nor one after a restart writes them again; others go on.
        folder.append(&[row("2", "Jane"), row("5", "Carl"), row("absent", "Jane")], at(2)).unwrap();
        drop(folder);
        let mut folder = open(&directory, rotation, 3);
        folder.append(&[row("4", "Jane"), row("1", "Anna"), row("6", "Dora")], at(3)).unwrap();
        folder.tidy(at(90_000)).unwrap();
        assert!(!holds(&directory, "Jane"), "{rotation:?}");
        let text = texts(&directory).concat();
        let rows = text.replace("content,delivery_id\n", "");
        assert_eq!(rows, "\"Anna, \"\"A\"\"\nline\",1\nBert,3\nCarl,5\nDora,6\n", "{rotation:?}");
    }
}

#[test]
fn erasing_again_finds_nothing_and_changes_nothing() {
    let directory = TempDir::new().unwrap();
    let mut folder = open(&directory, files(1), 0);
    folder.append(&[row("1", "Jane")], at(0)).unwrap();
    folder.tidy(at(0)).unwrap();
    assert_eq!(folder.erase(&ids(&["1"]), at(1)).unwrap().len(), 1);
    let before = seen(directory.path());
    assert!(folder.erase(&ids(&["1"]), at(2)).unwrap().is_empty());
    assert_eq!(seen(directory.path()), before);
}

#[test]
fn a_file_saved_by_a_spreadsheet_is_erased_too_and_one_that_is_not_ours_any_more_is_told() {
    let directory = TempDir::new().unwrap();
    let mut folder = open(&directory, files(10), 0);
    fs::write(directory.path().join("leads-a.csv"), "\"content\";\"delivery_id\"\r\n\"Jane\";\"1\"\r\nBert;2\r\n").unwrap();
    fs::write(directory.path().join("leads-b.csv"), "content,delivery_id,mine\nJane,delivery-3,x\n").unwrap();
    fs::write(directory.path().join("leads-c.csv"), "content,delivery_id\nJane,delivery-4,more,cells\n").unwrap();
    let mut found = folder.erase(&ids(&["1", "delivery-3", "delivery-4"]), at(1)).unwrap();
    found.sort_by(|a, b| a.place.cmp(&b.place));
    let told: Vec<_> = found.iter().map(|place| (place.place.as_str(), place.delivery.as_str(), place.is_removed)).collect();
    assert_eq!(told, [("leads-a.csv", "1", true), ("leads-b.csv", "delivery-3", false), ("leads-c.csv", "delivery-4", false)]);
    assert_eq!(fs::read_to_string(directory.path().join("leads-a.csv")).unwrap(), "\"content\";\"delivery_id\"\r\nBert;2\r\n");
}

#[test]
fn what_a_failed_write_left_goes_with_the_rows() {
    let directory = TempDir::new().unwrap();
    let mut folder = open(&directory, files(10), 0);
    folder.append(&[row("1", "Anna")], at(0)).unwrap();
    folder.part.as_mut().unwrap().tear(b"Jane half a r");
    folder.erase(&ids(&["2"]), at(1)).unwrap();
    assert!(!holds(&directory, "Jane"));
}

#[test]
fn a_copy_that_a_crash_left_is_removed_at_the_next_start() {
    let directory = TempDir::new().unwrap();
    drop(open(&directory, files(10), 0));
    fs::write(directory.path().join(HIDDEN).join("erasing"), "Jane").unwrap();
    drop(open(&directory, files(10), 1));
    assert!(!holds(&directory, "Jane"));
}

#[test]
fn rows_are_found_in_every_file_beside_the_one_who_writes() {
    let directory = TempDir::new().unwrap();
    let mut folder = open(&directory, files(2), 0);
    for (id, content) in [("1", "Anna"), ("2", "Jane"), ("3", "Jane too")] {
        folder.append(&[row(id, content)], at(0)).unwrap();
        folder.tidy(at(0)).unwrap();
    }
    let found =
        kept(directory.path(), &|kept| kept.values.iter().any(|(name, value)| name == "content" && value.contains("Jane"))).unwrap();
    let mut told: Vec<_> = found.iter().map(|kept| (kept.delivery.as_str(), kept.number)).collect();
    told.sort_unstable();
    assert_eq!(told, [("2", 2), ("3", 1)]);
    assert!(kept(&directory.path().join("missing"), &|_| true).unwrap().is_empty());
}

/// With an outbox, and the plan that has it.
fn copied(directory: &TempDir, rotation: Rotation) -> (Arc<Outbox>, Plan) {
    let outbox = Arc::new(Outbox::new(&directory.path().join(HIDDEN), "s3://b/".to_owned()));
    (Arc::clone(&outbox), Plan { outbox: Some(outbox), ..plan(directory, rotation) })
}

/// The texts of the copies that wait, sorted.
fn waiting(outbox: &Outbox) -> Vec<String> {
    let names = outbox.waiting().unwrap();
    let mut texts: Vec<_> = names.iter().map(|name| String::from_utf8(outbox.take(name).unwrap().0).unwrap()).collect();
    texts.sort();
    texts
}

#[test]
fn a_finished_file_is_copied_and_a_day_with_all_its_files() {
    const DAY: i64 = 86_400;
    let directory = TempDir::new().unwrap();
    let (outbox, mut plan) = copied(&directory, Rotation::Daily);
    plan.header = b"text,delivery_id\n".to_vec();
    Folder::open(plan, at(0)).unwrap().append(&[row("1", "a")], at(0)).unwrap();
    let mut folder = Folder::open(copied(&directory, Rotation::Daily).1, at(1)).unwrap();
    folder.append(&[row("2", "b")], at(1)).unwrap();
    assert!(waiting(&outbox).is_empty(), "the day is not over");
    folder.tidy(at(DAY)).unwrap();
    assert_eq!(waiting(&outbox), ["content,delivery_id\nb,2\n", "text,delivery_id\na,1\n"]);
    drop(folder);
    drop(Folder::open(copied(&directory, Rotation::Daily).1, at(DAY)).unwrap());
    assert_eq!(waiting(&outbox).len(), 2, "once");
}

#[test]
fn a_day_that_ended_while_no_bridge_ran_is_copied_at_the_next_start() {
    let directory = TempDir::new().unwrap();
    let (outbox, plan) = copied(&directory, Rotation::Daily);
    Folder::open(plan, at(0)).unwrap().append(&[row("1", "a")], at(0)).unwrap();
    drop(Folder::open(copied(&directory, Rotation::Daily).1, at(5 * 86_400)).unwrap());
    assert_eq!(waiting(&outbox), ["content,delivery_id\na,1\n"]);
}

#[test]
fn a_file_that_is_gone_on_with_after_a_crash_is_one_object() {
    let directory = TempDir::new().unwrap();
    let (outbox, plan) = copied(&directory, files(2));
    let mut folder = Folder::open(plan, at(0)).unwrap();
    folder.append(&[row("1", "a")], at(0)).unwrap();
    // The crash comes when the copy is there and the file is still hidden.
    outbox.add(folder.part.as_ref().unwrap()).unwrap();
    drop(folder);
    let (outbox, plan) = copied(&directory, files(2));
    let mut folder = Folder::open(plan, at(1)).unwrap();
    assert!(waiting(&outbox).is_empty());
    folder.append(&[row("2", "b")], at(1)).unwrap();
    folder.tidy(at(1)).unwrap();
    assert_eq!(waiting(&outbox), ["content,delivery_id\na,1\nb,2\n"]);
}

#[test]
fn rows_that_somebody_moved_away_with_their_file_are_copied_all_the_same() {
    let directory = TempDir::new().unwrap();
    let (outbox, plan) = copied(&directory, Rotation::Daily);
    let mut folder = Folder::open(plan, at(0)).unwrap();
    folder.append(&[row("1", "a")], at(0)).unwrap();
    fs::remove_file(directory.path().join("leads-2026-11-22.csv")).unwrap();
    folder.append(&[row("2", "b")], at(1)).unwrap();
    assert_eq!(waiting(&outbox), ["content,delivery_id\na,1\n"]);
}
