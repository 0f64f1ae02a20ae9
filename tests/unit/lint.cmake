# The house's absences (CONTRIBUTING.md), and whether the search for them sees what it is for.
foreach(script lint lint_planted)
    add_test(NAME ${script} COMMAND ${CMAKE_CURRENT_LIST_DIR}/../${script}.sh)
    set_tests_properties(${script} PROPERTIES LABELS lint TIMEOUT 60)
endforeach()
