add_library(test_support_pg STATIC ${CMAKE_SOURCE_DIR}/tests/support/pg.c)
target_link_libraries(test_support_pg PUBLIC berth_base PkgConfig::PQ PkgConfig::CRITERION)
add_library(test_support_pg_all INTERFACE)
target_sources(test_support_pg_all INTERFACE ${CMAKE_SOURCE_DIR}/tests/support/pg_all.c)
target_link_libraries(test_support_pg_all INTERFACE test_support_pg)

foreach(name migrate db db_async)
    berth_test(NAME test_${name} LABEL integration SOURCES test_${name}.c USES berth_db test_support_pg_all TIMEOUT 120)
endforeach()
