//! The checker finds mistakes that were made on purpose, and nothing where there are none.

use crate::support::TestDriver;
use ssm_kernels::device::emulated::Checked;

/// What the checker says of one of the kernels.
fn report_of(kernel: &'static str, schedule: u64) -> Result<(), String> {
    let driver = <Checked as TestDriver>::open()?;
    driver.set_schedule(schedule);
    driver.run_planted(kernel).map_err(|error| error.to_string())
}

#[track_caller]
fn assert_found(kernel: &'static str, expected: &str) {
    for schedule in 0..4 {
        let report = report_of(kernel, schedule).expect_err("a mistake that was not found");
        assert!(report.contains(expected), "schedule {schedule}: {report}");
        assert!(report.contains("block ("), "says where: {report}");
    }
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    for schedule in 0..8 {
        report_of("planted_nothing", schedule).expect("no mistake");
    }
}

#[test]
fn a_barrier_missing_before_a_read() {
    for schedule in 0..4 {
        let report = report_of("planted_no_barrier_before_read", schedule).expect_err("a race");
        let either = ["write-read race", "nobody wrote", "read-write race"];
        assert!(either.iter().any(|text| report.contains(text)), "{report}");
    }
}

#[test]
fn a_barrier_missing_before_an_overwrite() {
    assert_found("planted_no_barrier_before_overwrite", "race at shared");
}

#[test]
fn a_barrier_missing_before_the_results_are_taken_away() {
    assert_found("planted_no_barrier_before_write_back", "race at shared");
}

#[test]
fn a_missing_warp_barrier() {
    assert_found("planted_no_warp_barrier", "race at shared");
}

#[test]
fn a_store_beyond_the_end() {
    assert_found("planted_no_mask_of_store", "out-of-bounds write");
}

#[test]
fn a_load_beyond_the_end() {
    assert_found("planted_no_mask_of_load", "out-of-bounds read");
}

#[test]
fn blocks_that_write_the_same_element() {
    assert_found("planted_race_between_blocks", "race between blocks");
}

#[test]
fn a_read_of_what_nobody_wrote() {
    assert_found("planted_read_of_nothing", "nobody wrote");
}

#[test]
fn threads_that_leave_before_a_barrier() {
    assert_found("planted_early_return", "left the kernel");
}

#[test]
fn a_vector_at_an_address_that_does_not_allow_it() {
    assert_found("planted_misaligned_vector", "misaligned access at buffer");
}
