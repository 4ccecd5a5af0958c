-- groups: by none
SELECT COALESCE(SUM(`people`), 0) AS `people` FROM `matched`

-- memberships: by none
SELECT `matched`.`#p` AS `position`, 0 AS `#group` FROM `matched`

-- groups: by one column
SELECT `m.level`, COALESCE(SUM(`people`), 0) AS `people` FROM `matched` GROUP BY `m.level`

-- memberships: by one column
WITH `groups` AS (SELECT `m.level`, ROW_NUMBER() OVER (ORDER BY `m.level` NULLS LAST) - 1 AS `#group` FROM `matched` GROUP BY `m.level`) SELECT `matched`.`#p` AS `position`, `groups`.`#group` FROM `matched` JOIN `groups` ON `matched`.`m.level` IS NOT DISTINCT FROM `groups`.`m.level`

-- groups: by many columns, names with quotes and Chinese
SELECT `m.level`, `p."城``市"`, `m.count(*)`, COALESCE(SUM(`people`), 0) AS `people` FROM `matched` GROUP BY `m.level`, `p."城``市"`, `m.count(*)`

-- memberships: by many columns, names with quotes and Chinese
WITH `groups` AS (SELECT `m.level`, `p."城``市"`, `m.count(*)`, ROW_NUMBER() OVER (ORDER BY `m.level` NULLS LAST, `p."城``市"` NULLS LAST, `m.count(*)` NULLS LAST) - 1 AS `#group` FROM `matched` GROUP BY `m.level`, `p."城``市"`, `m.count(*)`) SELECT `matched`.`#p` AS `position`, `groups`.`#group` FROM `matched` JOIN `groups` ON `matched`.`m.level` IS NOT DISTINCT FROM `groups`.`m.level` AND `matched`.`p."城``市"` IS NOT DISTINCT FROM `groups`.`p."城``市"` AND `matched`.`m.count(*)` IS NOT DISTINCT FROM `groups`.`m.count(*)`

-- groups: a plain sum
SELECT `m.level`, COALESCE(SUM(`people`), 0) AS `people`, COALESCE(SUM(`m.spend#high`), 0) AS `m.spend#high`, COALESCE(SUM(`m.spend#low`), 0) AS `m.spend#low`, COALESCE(SUM(`m.spend#count`), 0) AS `m.spend#count` FROM `matched` GROUP BY `m.level`

-- memberships: a plain sum
WITH `groups` AS (SELECT `m.level`, ROW_NUMBER() OVER (ORDER BY `m.level` NULLS LAST) - 1 AS `#group` FROM `matched` GROUP BY `m.level`) SELECT `matched`.`#p` AS `position`, `groups`.`#group` FROM `matched` JOIN `groups` ON `matched`.`m.level` IS NOT DISTINCT FROM `groups`.`m.level`

-- groups: a plain sum of all
SELECT COALESCE(SUM(`people`), 0) AS `people`, COALESCE(SUM(`m.spend#high`), 0) AS `m.spend#high`, COALESCE(SUM(`m.spend#low`), 0) AS `m.spend#low`, COALESCE(SUM(`m.spend#count`), 0) AS `m.spend#count` FROM `matched`

-- memberships: a plain sum of all
SELECT `matched`.`#p` AS `position`, 0 AS `#group` FROM `matched`

-- groups: several plain sums
SELECT `p."城``市"`, COALESCE(SUM(`people`), 0) AS `people`, COALESCE(SUM(`m.spend#high`), 0) AS `m.spend#high`, COALESCE(SUM(`m.spend#low`), 0) AS `m.spend#low`, COALESCE(SUM(`m.spend#count`), 0) AS `m.spend#count`, COALESCE(SUM(`p.``visits``#high`), 0) AS `p.``visits``#high`, COALESCE(SUM(`p.``visits``#low`), 0) AS `p.``visits``#low`, COALESCE(SUM(`p.``visits``#count`), 0) AS `p.``visits``#count` FROM `matched` GROUP BY `p."城``市"`

-- memberships: several plain sums
WITH `groups` AS (SELECT `p."城``市"`, ROW_NUMBER() OVER (ORDER BY `p."城``市"` NULLS LAST) - 1 AS `#group` FROM `matched` GROUP BY `p."城``市"`) SELECT `matched`.`#p` AS `position`, `groups`.`#group` FROM `matched` JOIN `groups` ON `matched`.`p."城``市"` IS NOT DISTINCT FROM `groups`.`p."城``市"`

-- groups: ciphertexts
SELECT `m.level`, `p."城``市"`, COALESCE(SUM(`people`), 0) AS `people` FROM `matched` GROUP BY `m.level`, `p."城``市"`

-- memberships: ciphertexts
WITH `groups` AS (SELECT `m.level`, `p."城``市"`, ROW_NUMBER() OVER (ORDER BY `m.level` NULLS LAST, `p."城``市"` NULLS LAST) - 1 AS `#group` FROM `matched` GROUP BY `m.level`, `p."城``市"`) SELECT `matched`.`#p` AS `position`, `groups`.`#group` FROM `matched` JOIN `groups` ON `matched`.`m.level` IS NOT DISTINCT FROM `groups`.`m.level` AND `matched`.`p."城``市"` IS NOT DISTINCT FROM `groups`.`p."城``市"`

-- groups: where: one box
SELECT COALESCE(SUM(`people`), 0) AS `people` FROM `matched` WHERE `matched`.`m.level` IN (0, 2)

-- memberships: where: one box
SELECT `matched`.`#p` AS `position`, 0 AS `#group` FROM `matched` WHERE `matched`.`m.level` IN (0, 2)

-- groups: where: tokens
SELECT COALESCE(SUM(`people`), 0) AS `people` FROM `matched` WHERE `matched`.`p."城``市"` IN (X'00ff')

-- memberships: where: tokens
SELECT `matched`.`#p` AS `position`, 0 AS `#group` FROM `matched` WHERE `matched`.`p."城``市"` IN (X'00ff')

-- groups: where: several boxes
SELECT `m.level`, COALESCE(SUM(`people`), 0) AS `people`, COALESCE(SUM(`m.spend#high`), 0) AS `m.spend#high`, COALESCE(SUM(`m.spend#low`), 0) AS `m.spend#low`, COALESCE(SUM(`m.spend#count`), 0) AS `m.spend#count` FROM `matched` WHERE (`matched`.`m.level` IN (1, -2) AND `matched`.`p."城``市"` IN (X'00ff', X'6162')) OR `matched`.`m.level` IN (3) GROUP BY `m.level`

-- memberships: where: several boxes
WITH `groups` AS (SELECT `m.level`, ROW_NUMBER() OVER (ORDER BY `m.level` NULLS LAST) - 1 AS `#group` FROM `matched` WHERE (`matched`.`m.level` IN (1, -2) AND `matched`.`p."城``市"` IN (X'00ff', X'6162')) OR `matched`.`m.level` IN (3) GROUP BY `m.level`) SELECT `matched`.`#p` AS `position`, `groups`.`#group` FROM `matched` JOIN `groups` ON `matched`.`m.level` IS NOT DISTINCT FROM `groups`.`m.level` WHERE (`matched`.`m.level` IN (1, -2) AND `matched`.`p."城``市"` IN (X'00ff', X'6162')) OR `matched`.`m.level` IN (3)

-- groups: where: the ends of 64 bits
SELECT COALESCE(SUM(`people`), 0) AS `people` FROM `matched` WHERE `matched`.`m.level` IN (-9223372036854775808, 9223372036854775807)

-- memberships: where: the ends of 64 bits
SELECT `matched`.`#p` AS `position`, 0 AS `#group` FROM `matched` WHERE `matched`.`m.level` IN (-9223372036854775808, 9223372036854775807)

-- groups: where: everybody
SELECT COALESCE(SUM(`people`), 0) AS `people` FROM `matched` WHERE TRUE OR `matched`.`m.level` IN (0)

-- memberships: where: everybody
SELECT `matched`.`#p` AS `position`, 0 AS `#group` FROM `matched` WHERE TRUE OR `matched`.`m.level` IN (0)

-- groups: where: nobody
SELECT COALESCE(SUM(`people`), 0) AS `people` FROM `matched` WHERE FALSE

-- memberships: where: nobody
SELECT `matched`.`#p` AS `position`, 0 AS `#group` FROM `matched` WHERE FALSE

-- groups: where, groups and ciphertexts
SELECT `p."城``市"`, COALESCE(SUM(`people`), 0) AS `people` FROM `matched` WHERE (`matched`.`m.level` IN (1, -2) AND `matched`.`p."城``市"` IN (X'00ff', X'6162')) OR `matched`.`m.level` IN (3) GROUP BY `p."城``市"`

-- memberships: where, groups and ciphertexts
WITH `groups` AS (SELECT `p."城``市"`, ROW_NUMBER() OVER (ORDER BY `p."城``市"` NULLS LAST) - 1 AS `#group` FROM `matched` WHERE (`matched`.`m.level` IN (1, -2) AND `matched`.`p."城``市"` IN (X'00ff', X'6162')) OR `matched`.`m.level` IN (3) GROUP BY `p."城``市"`) SELECT `matched`.`#p` AS `position`, `groups`.`#group` FROM `matched` JOIN `groups` ON `matched`.`p."城``市"` IS NOT DISTINCT FROM `groups`.`p."城``市"` WHERE (`matched`.`m.level` IN (1, -2) AND `matched`.`p."城``市"` IN (X'00ff', X'6162')) OR `matched`.`m.level` IN (3)

