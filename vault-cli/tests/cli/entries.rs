//! Entries: stored, read, listed, changed.

use crate::support::World;

#[test]
fn every_value_comes_back_byte_by_byte() {
    let world = World::new();
    let large: Vec<u8> = (0..300_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    for (number, value) in
        [&b"text"[..], b"", b"\n", b"line\n", b"\0\xff\x80\x1b[0m", &[b'x'; 16_384], &[b'x'; 16_385], &large]
            .into_iter()
            .enumerate()
    {
        let name = format!("value/{number}");
        world.set(&name, value);
        assert!(world.get(&name) == value, "{number}");
        std::fs::write(world.path("value"), value).unwrap();
        world.ok(&["set", "from/file", "--secret-file", "value"]);
        assert!(world.get("from/file") == value, "{number} from a file");
    }
    world.run(&["check"]).expect(0);
}

#[test]
fn one_newline_of_standard_input_is_removed_unless_raw() {
    let world = World::new();
    for (given, kept) in
        [(&b"a\n"[..], &b"a"[..]), (b"a\n\n", b"a\n"), (b"a\r\n", b"a"), (b"\n", b""), (b"a", b"a")]
    {
        world.run_with(&["set", "x"], given).expect(0);
        assert_eq!(world.get("x"), kept);
    }
    let long = [&[b'y'; 20_000][..], b"\n"].concat();
    world.run_with(&["set", "x"], &long).expect(0);
    assert!(world.get("x") == long[..20_000]);
}

#[test]
fn a_secret_on_the_command_line_is_refused_and_not_repeated() {
    let world = World::new();
    let before = world.vault();
    let ran = world.run(&["set", "aws/key", "hunter2"]);
    ran.refuses(2, "refusing a secret on the command line: it would be visible to other programs and kept in the shell history");
    assert!(ran.stderr.contains("| vault set aws/key"), "{}", ran.stderr);
    for arguments in [
        &["set", "a", "--hunter2"][..],
        &["set", "a", "-hunter2"],
        &["generate", "a", "hunter2"],
        &["edit", "a", "hunter2"],
    ] {
        let ran = world.run(arguments);
        ran.expect(2);
        assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    }
    assert_eq!(world.vault(), before);
}

#[test]
fn list_filters_by_name_and_attribute() {
    let world = World::new();
    for name in ["github/token", "github/key", "aws"] {
        world.set(name, b"x");
    }
    world.ok(&["edit", "aws", "--attr", "account=prod", "--attr", "owner=ada"]);
    assert_eq!(world.ok(&["list"]), "aws\ngithub/key\ngithub/token\n");
    assert_eq!(world.ok(&["list", "github/*"]), "github/key\ngithub/token\n");
    assert_eq!(world.ok(&["ls", "tok"]), "github/token\n");
    assert_eq!(world.ok(&["list", "--attr", "account=prod"]), "aws\n");
    assert_eq!(world.ok(&["list", "--attr", "account=dev"]), "");
    world.ok(&["edit", "aws", "--remove-attr", "account"]);
    assert_eq!(world.ok(&["list", "--attr", "account=prod"]), "");
    assert!(world.ok(&["show", "aws"]).contains("attribute: owner=ada\n"));
}

#[test]
fn fields_are_apart() {
    let world = World::new();
    world.run_with(&["set", "aws", "--field", "key_id"], b"AKIA").expect(0);
    world.run_with(&["set", "aws"], b"secret").expect(0);
    assert_eq!(world.ok(&["get", "aws", "key_id"]), "AKIA");
    assert_eq!(world.ok(&["get", "aws"]), "secret");
    world.run(&["get", "aws", "nothing"]).refuses(3, "entry \"aws\" has no field \"nothing\"");
    world.ok(&["remove", "aws", "--field", "key_id"]);
    world.run(&["get", "aws", "key_id"]).refuses(3, "no field");
    assert_eq!(world.ok(&["get", "aws"]), "secret");
}

#[test]
fn what_is_not_there_is_exit_3_with_a_guess() {
    let world = World::new();
    world.set("github/token", b"x");
    let ran = world.run(&["get", "github/tokne"]);
    ran.refuses(3, "no entry named \"github/tokne\"");
    assert!(ran.stderr.contains("did you mean \"github/token\"?"), "{}", ran.stderr);
    for arguments in [
        &["show", "x"][..],
        &["remove", "x"],
        &["rename", "x", "y"],
        &["copy", "x", "y"],
        &["edit", "x", "--attr", "a=b"],
    ] {
        world.run(arguments).refuses(3, "no entry named \"x\"");
    }
    world.run(&["--file", "none.vault", "list"]).refuses(3, "no vault at");
}

#[test]
fn what_is_there_is_not_replaced_by_accident() {
    let world = World::new();
    world.set("a", b"1");
    world.set("b", b"2");
    world.run_with(&["set", "a", "--new"], b"3").refuses(7, "exists already");
    world.run(&["generate", "a", "--new"]).refuses(7, "exists already");
    world.run(&["rename", "a", "b"]).refuses(7, "an entry named \"b\" exists");
    world.run(&["copy", "a", "b"]).refuses(7, "an entry named \"b\" exists");
    world.run(&["get", "a", "-o", "key"]).refuses(7, "exists already");
    world.run(&["init", "--machine"]).refuses(7, "exists already");
    assert_eq!((world.get("a"), world.get("b")), (b"1".to_vec(), b"2".to_vec()));
}

#[test]
fn rename_and_copy_keep_everything() {
    let world = World::new();
    let large = vec![7; 100_000];
    world.set("a", &large);
    world
        .run_with(&["set", "a", "--field", "f", "--attr", "k=v", "--expires", "2040-01-01"], b"field")
        .expect(0);
    world.ok(&["copy", "a", "b"]);
    world.ok(&["mv", "a", "c"]);
    assert_eq!(world.ok(&["list"]), "b\nc\n");
    for name in ["b", "c"] {
        assert!(world.get(name) == large);
        assert_eq!(world.ok(&["get", name, "f"]), "field");
        let shown = world.ok(&["show", name]);
        assert!(
            shown.contains("attribute: k=v\n") && shown.contains("expires: 2040-01-01T00:00:00Z\n"),
            "{shown}"
        );
    }
    world.ok(&["rm", "b", "c"]);
    assert_eq!(world.ok(&["list"]), "");
    world.run(&["check"]).expect(0);
}

#[test]
fn generate_prints_only_if_asked() {
    let world = World::new();
    assert_eq!(world.ok(&["generate", "quiet"]), "");
    assert_eq!(world.get("quiet").len(), 24);
    let printed = world.ok(&["generate", "shown", "--length", "40", "--symbols", "--print"]);
    assert_eq!(printed.len(), 40);
    assert_eq!(world.get("shown"), printed.as_bytes());
    let digits = world.ok(&["generate", "--characters", "01", "--length", "64"]);
    assert!(digits.len() == 64 && digits.bytes().all(|byte| b"01".contains(&byte)));
    assert_eq!(world.ok(&["list"]), "quiet\nshown\n");
}

#[test]
fn expired_entries_warn_and_strict_refuses_them() {
    let world = World::new();
    world.run_with(&["set", "a", "--expires", "2020-01-01"], b"x").expect(0);
    let ran = world.run(&["get", "a"]);
    ran.expect(0);
    assert!(ran.stderr.starts_with("vault: warning: \"a\" expired on 2020-01-01"), "{}", ran.stderr);
    assert_eq!(world.ok(&["list", "--expired"]), "a\n");
    world.run(&["get", "a", "--strict"]).refuses(1, "expired");
    assert!(world.run(&["get", "a", "--quiet"]).stderr.is_empty());
}

#[test]
fn compacting_and_forking_keep_the_entries() {
    let world = World::new();
    let large = vec![9; 50_000];
    for round in 0..5 {
        world.set("a", format!("{round}").as_bytes());
    }
    world.set("big", &large);
    world.ok(&["compact", "--pages", "4096"]);
    assert!(world.ok(&["status"]).contains("seals: 1,"));
    assert_eq!(world.get("a"), b"4");
    let key = world.ok(&["fork", "fork.vault", "--machine"]);
    std::fs::write(world.path("fork.key"), key).unwrap();
    let fork = ["--file", "fork.vault", "--machine-key-file", "fork.key"];
    let in_fork = |arguments: &[&str]| world.run(&[&fork[..], arguments].concat());
    assert_eq!(in_fork(&["get", "a"]).text(), "4");
    assert!(in_fork(&["get", "big"]).stdout == large);
    in_fork(&["check"]).expect(0);
    // The key of one does not open the other.
    world.run(&["--file", "fork.vault", "list"]).refuses(6, "belongs to another vault");
}

#[test]
fn json_has_a_version_everywhere() {
    let world = World::new();
    world.set("a", b"x\"\n");
    world.set("b", b"\xff\0");
    assert_eq!(
        world.ok(&["get", "a", "--json"]),
        "{\"version\":1,\"name\":\"a\",\"field\":\"secret\",\"secret\":\"x\\\"\\n\"}\n"
    );
    assert!(world.ok(&["get", "b", "--json"]).contains("\"secret_base64\":\"/wA=\""));
    for arguments in [
        &["list"][..],
        &["show", "a"],
        &["status"],
        &["check"],
        &["compact"],
        &["generate", "c"],
        &["copy", "a", "d"],
        &["rename", "d", "e"],
        &["remove", "e"],
    ] {
        let ran = world.run(&[arguments, &["--json"]].concat());
        ran.expect(0);
        assert!(ran.text().starts_with("{\"version\":1,") && ran.text().ends_with("}\n"), "{}", ran.text());
        assert!(ran.stderr.is_empty(), "{}", ran.stderr);
    }
    for (arguments, id, exit) in [
        (&["get", "none", "--json"][..], "entry-not-found", 3),
        (&["gte", "--json"], "usage", 2),
        (&["set", "a", "b", "--json"], "secret-in-argv", 2),
    ] {
        let ran = world.run(arguments);
        ran.expect(exit);
        let start = format!("{{\"version\":1,\"id\":\"{id}\",");
        assert!(ran.stderr.starts_with(&start) && ran.stderr.lines().count() == 1, "{}", ran.stderr);
        assert!(ran.stderr.ends_with(&format!("\"exit\":{exit}}}\n")), "{}", ran.stderr);
    }
}

#[test]
fn writers_at_the_same_time_lose_nothing() {
    let world = World::new();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let world = &world;
            scope.spawn(move || {
                for round in 0..5 {
                    world.set(&format!("{writer}/{round}"), b"x");
                }
            });
        }
    });
    assert_eq!(world.ok(&["list"]).lines().count(), 20);
    assert_eq!(world.generation(), 21);
    world.run(&["check"]).expect(0);
}

#[test]
fn the_nearest_vault_upwards_is_used_and_status_says_so() {
    let world = World::new();
    std::fs::create_dir_all(world.path("deep/er")).unwrap();
    let status = |change: &dyn Fn(&mut std::process::Command)| {
        let mut command = world.command();
        command.current_dir(world.path("deep/er")).arg("status");
        change(&mut command);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(status(&|_| {}).contains("chosen by: nearest secrets.vault upwards from here"));
    assert!(
        status(&|command| {
            command.env("VAULT_FILE", "../x");
        })
        .contains("chosen by: VAULT_FILE")
    );
    std::fs::write(world.path("deep/.git"), "").unwrap();
    assert!(status(&|_| {}).contains("home/.local/share/vault/default.vault"));
    world.run(&["init", "--user", "--machine"]).expect(0);
    assert!(world.path("home/.local/share/vault/default.vault").exists());
}

#[test]
fn init_keeps_git_from_changing_line_ends() {
    let world = World::empty();
    let git = |arguments: &[&str]| {
        let status =
            std::process::Command::new("git").current_dir(world.root()).args(arguments).output().unwrap();
        assert!(status.status.success());
    };
    git(&["init", "-q"]);
    std::fs::write(world.path(".gitattributes"), "*.png binary").unwrap();
    let made = world.bare().args(["init", "--machine"]).output().unwrap();
    assert!(String::from_utf8_lossy(&made.stderr).contains("secrets.vault text eol=lf"));
    let attributes = std::fs::read_to_string(world.path(".gitattributes")).unwrap();
    assert_eq!(attributes, "*.png binary\nsecrets.vault text eol=lf\n");
    std::fs::remove_file(world.path("secrets.vault")).unwrap();
    world.bare().args(["init", "--machine"]).output().unwrap();
    assert_eq!(std::fs::read_to_string(world.path(".gitattributes")).unwrap(), attributes);
}
