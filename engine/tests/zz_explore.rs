//! x
#[path = "hostile/support.rs"]
mod support;
use automerge::transaction::*;
use automerge::*;
use rejoin::fence::*;
use rejoin::untrusted::*;
use std::time::Instant;
use support::*;
fn rss() -> u64 {
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    s.lines().find(|l| l.starts_with("VmHWM")).unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
}
fn sleb(mut v: i64) -> Vec<u8> {
    let mut o = vec![];
    loop {
        let b = (v & 0x7f) as u8;
        v >>= 7;
        if (v == 0 && b & 0x40 == 0) || (v == -1 && b & 0x40 != 0) {
            o.push(b);
            return o;
        }
        o.push(b | 0x80);
    }
}
fn try_it(name: &str, parts: Parts) {
    let bytes = parts.chunk();
    let t = Instant::now();
    let c = match check_bytes(&bytes, &Limits::default()) {
        Ok(c) => c,
        Err(e) => {
            eprintln!("{name}: {} bytes refused {e}", bytes.len());
            return;
        }
    };
    let t1 = t.elapsed();
    let t = Instant::now();
    let p = match parse_untrusted(&c) {
        Ok(c) => c,
        Err(e) => {
            eprintln!("{name}: parse {e}");
            return;
        }
    };
    let t2 = t.elapsed();
    let t = Instant::now();
    let mut d = Automerge::new();
    let mut log = PatchLog::active();
    let o = apply_untrusted(&mut d, vec![p.clone()], Some(&mut log));
    let t3 = t.elapsed();
    let t = Instant::now();
    let pt = guarded(|| d.make_patches(&mut log).len());
    let t4 = t.elapsed();
    let t = Instant::now();
    let _ = guarded(|| p.decode().operations.len());
    let t7 = t.elapsed();
    let t = Instant::now();
    let s = guarded(|| d.save().len());
    let t6 = t.elapsed();
    let t = Instant::now();
    let h = guarded(|| verify_snapshot(&d, &d.save()));
    let t5 = t.elapsed();
    eprintln!(
        "{name}: {} bytes ops {} check {t1:?} parse {t2:?} apply {t3:?} {:?} patches {t4:?} {pt:?} save {t6:?} {s:?} verify {t5:?} {:?} decode {t7:?} rss {} MB",
        bytes.len(),
        c.operations,
        o.quarantined.first().map(|x| x.1.chars().take(100).collect::<String>()),
        h.map(|x| x.map_err(|e| e.chars().take(100).collect::<String>())),
        rss() / 1024
    );
}
#[test]
fn explore() {
    quiet();
    let which = std::env::var("WHICH").unwrap_or_default();
    let n: i64 = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let run = |rest: &[u8]| [sleb(n), rest.to_vec()].concat();
    if which == "deep" {
        // n nested maps: op i makes a map under key 'a' in the map of op i-1
        let mut p = Parts::operations(n);
        p.columns[2].1 = run(&[0]);
        // obj actor: null x1, then run n-1 of 0 ; obj ctr: null, literal 1..n-1
        let mut oa = vec![0, 1];
        oa.extend(sleb(n - 1));
        oa.push(0);
        let mut oc = vec![0, 1];
        oc.extend(sleb(-(n - 1)));
        for i in 1..n {
            oc.extend(leb128(i as u64));
        }
        let p = p.column(1, oa).column(2, oc);
        let bytes = p.chunk();
        let c = check_bytes(&bytes, &Limits::default()).unwrap();
        let p = parse_untrusted(&c).unwrap();
        let mut d = Automerge::new();
        let mut log = PatchLog::active();
        let t = Instant::now();
        eprintln!("apply {:?}", apply_untrusted(&mut d, vec![p], Some(&mut log)));
        eprintln!("applied {:?} {} bytes", t.elapsed(), bytes.len());
        let t = Instant::now();
        let pt = if std::env::var("PATCH").is_ok() { d.make_patches(&mut log).len() } else { 0 };
        eprintln!("patches {pt} {:?}", t.elapsed());
        let s = d.save();
        eprintln!("saved {}", s.len());
        let l = Automerge::load(&s).is_ok();
        eprintln!("load {l}");
        let h = d.hydrate(None);
        eprintln!("hydrated");
        drop(h);
        eprintln!("dropped");
        let j = serde_json::to_string(&AutoSerde::from(&d)).map(|x| x.len()).map_err(|e| e.to_string());
        eprintln!("json {j:?}");
    }
    if which == "all" {
        try_it("puts one key no pred", Parts::operations(n));
        let mut list = Parts::operations(n);
        // list make, then n-1 inserts at head
        list.columns = vec![];
        let mk = |ka: Vec<u8>, kc: Vec<u8>| {
            let m = n - 1;
            let mut ac = vec![0x7f, 2];
            ac.extend(sleb(m));
            ac.push(1);
            let mut ks = vec![0x7f, 1, b'l', 0];
            ks.extend(leb128(m as u64));
            let mut ins = vec![1];
            ins.extend(leb128(m as u64));
            let mut oa = vec![0, 1];
            oa.extend(sleb(m));
            oa.push(0);
            let mut oc = vec![0, 1];
            oc.extend(sleb(m));
            oc.push(1);
            Parts { columns: vec![], ..Parts::default() }
                .column(1, oa)
                .column(2, oc)
                .column(0x11, ka)
                .column(0x13, kc)
                .column(0x15, ks)
                .column(0x34, ins)
                .column(0x42, ac)
                .column(0x56, run(&[0]))
                .column(0x70, run(&[0]))
        };
        // head: key ctr 0, actor null
        let m = n - 1;
        let mut kc = vec![0, 1];
        kc.extend(sleb(m));
        kc.push(0);
        try_it(
            "list inserts at head",
            mk(vec![0].into_iter().chain(leb128(n as u64)).collect(), {
                let mut k = vec![0, 1, 0x7f, 0];
                k.extend(sleb(m - 1));
                k.push(0);
                k
            }),
        );
        // append each after previous: key ctr delta: first 0 (head), then 2, then +1...
        try_it(
            "list appends",
            mk(
                {
                    let mut k = vec![0, 2];
                    k.extend(sleb(m - 1));
                    k.push(0);
                    k
                },
                {
                    let mut k = vec![0, 1, 0x7e, 0, 2];
                    k.extend(sleb(m - 2));
                    k.push(1);
                    k
                },
            ),
        );
        // all after first elem
        try_it(
            "list inserts after first",
            mk(
                {
                    let mut k = vec![0, 2];
                    k.extend(sleb(m - 1));
                    k.push(0);
                    k
                },
                {
                    let mut k = vec![0, 1, 0x7e, 0, 2];
                    k.extend(sleb(m - 2));
                    k.push(0);
                    k
                },
            ),
        );
        // preds: 4 per op naming op 1.. same
        let preds = |per: u8, ctr: Vec<u8>| {
            let tot = n * per as i64;
            let mut pa = sleb(tot);
            pa.push(0);
            Parts::operations(n).column(0x70, run(&[per])).column(0x71, pa).column(0x73, ctr)
        };
        try_it(
            "preds 4 of op 1",
            preds(4, {
                let mut k = vec![0x7f, 1];
                k.extend(sleb(n * 4 - 1));
                k.push(0);
                k
            }),
        );
        try_it(
            "preds 1 of op 1",
            preds(1, {
                let mut k = vec![0x7f, 1];
                k.extend(sleb(n - 1));
                k.push(0);
                k
            }),
        );
        // distinct keys 650 bytes no
        let name = {
            let long = vec![b'k'; 600];
            [sleb(n), leb128(600), long].concat()
        };
        try_it("long key", Parts::operations(n).column(0x15, name.clone()));
        let mut marks = mk(vec![0].into_iter().chain(leb128(n as u64)).collect(), {
            let mut k = vec![0, 1, 0x7f, 0];
            k.extend(sleb(m - 1));
            k.push(0);
            k
        });
        let mut ac = vec![0x7f, 4];
        ac.extend(sleb(m));
        ac.push(7);
        marks = marks.column(0x42, ac).column(0xa5, {
            let mut k = vec![0, 1];
            k.extend(sleb(m));
            k.extend(leb128(600));
            k.extend(vec![b'm'; 600]);
            k
        });
        try_it("marks", marks);
        try_it("increments", {
            let p = Parts::operations(n);
            let mut ac = vec![0x7f, 1];
            ac.extend(sleb(n - 1));
            ac.push(5);
            let mut pc = vec![0x7f, 0];
            pc.extend(sleb(n - 1));
            pc.push(1);
            let mut pa = sleb(n - 1);
            pa.push(0);
            let mut c = sleb(n - 1);
            c.pop();
            let mut k = vec![0x7f, 1];
            k.extend(sleb(n - 2));
            k.push(0);
            p.column(0x42, ac)
                .column(0x56, {
                    let mut v = vec![0x7f, 0x18];
                    v.extend(sleb(n - 1));
                    v.push(0x14);
                    v
                })
                .column(0x57, vec![1u8; n as usize])
                .column(0x70, pc)
                .column(0x71, pa)
                .column(0x73, k)
        });
        try_it("makes", {
            let mut p = Parts::operations(n);
            p.columns[2].1 = run(&[0]);
            p
        });
    }

    if which == "cycle" {
        // op1: make map in itself (obj = 1@0), op2: put in obj 1@0
        let p =
            Parts::operations(2).column(0x42, vec![0x7e, 0, 1]).column(1, vec![2, 0]).column(2, vec![2, 1]);
        let bytes = p.chunk();
        let c = check_bytes(&bytes, &Limits::default()).unwrap();
        let p = parse_untrusted(&c).unwrap();
        let mut d = Automerge::new();
        let mut log = PatchLog::active();
        eprintln!("apply {:?}", apply_untrusted(&mut d, vec![p], Some(&mut log)));
        let s = d.save();
        eprintln!("saved {}", s.len());
        let l = Automerge::load(&s).is_ok();
        eprintln!("load {l}");
        let h = d.hydrate(None);
        eprintln!("hydrated");
        drop(h);
        let pt = d.make_patches(&mut log).len();
        eprintln!("patches {pt}");
    }
    if which == "marks" {
        // honest marks: a text of n chars, marks on each char in one change
        let mut d = Automerge::new();
        let n = n as usize;
        let mut tx = d.transaction();
        let t = tx.put_object(ROOT, "t", ObjType::Text).unwrap();
        tx.splice_text(&t, 0, 0, &"x".repeat(n)).unwrap();
        tx.commit();
        let t0 = Instant::now();
        let mut tx = d.transaction();
        for i in 0..n {
            tx.mark(
                &t,
                automerge::marks::Mark::new("b".into(), true, i, i + 1),
                automerge::marks::ExpandMark::None,
            )
            .unwrap();
        }
        tx.commit();
        eprintln!("made {:?}", t0.elapsed());
        let ch = d.get_changes(&[]);
        let mut e = Automerge::new();
        let mut log = PatchLog::active();
        let t0 = Instant::now();
        eprintln!("{:?}", apply_untrusted(&mut e, ch, Some(&mut log)).quarantined.len());
        eprintln!("applied {:?}", t0.elapsed());
    }
}
